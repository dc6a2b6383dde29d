"""What of Python and its standard library is known to do nothing that could be noticed outside the node?

Names that are not here count as unknown, not as harmless.
"""

PURE_BUILTINS = frozenset(
    "abs all any ascii bin bool bytes bytearray callable chr classmethod complex dict divmod enumerate "
    "filter float format frozenset getattr hasattr hash hex id int isinstance issubclass iter len list "
    "map max memoryview min next object oct ord pow property range repr reversed round set slice sorted "
    "staticmethod str sum super tuple type vars zip".split()
)
PURE_MODULES = frozenset(
    "abc array base64 binascii bisect calendar collections collections.abc colorsys copy "
    "dataclasses datetime decimal difflib enum fnmatch fractions functools graphlib hashlib heapq hmac html "
    "html.entities ipaddress itertools json keyword math numbers operator posixpath pprint re "
    "statistics string stringprep struct textwrap types typing unicodedata urllib.parse uuid "
    "xml.sax.saxutils zlib zoneinfo".split()
)
WITHOUT = frozenset(
    "datetime.datetime.now datetime.datetime.today datetime.datetime.utcnow datetime.date.today "
    "hashlib.file_digest json.dump uuid.uuid1 uuid.uuid4 uuid.getnode pprint.pprint pprint.pp".split()
)
"""Of the pure modules. `json.load` reads what it is given."""
HARMLESS = frozenset(
    "asyncio.gather asyncio.sleep asyncio.timeout asyncio.to_thread asyncio.wait_for contextlib.closing "
    "contextlib.contextmanager contextlib.nullcontext contextlib.suppress io.BytesIO io.StringIO "
    "logging.critical logging.debug logging.error logging.exception logging.getLogger logging.info "
    "logging.warning os.fspath os.getenv os.listdir os.stat pathlib.Path pathlib.PurePath "
    "pathlib.PurePosixPath os.environ.get threading.get_ident time.sleep time.strptime".split()
)
"""Reading, waiting and logging, of modules that can also do more; all of os.path reads too."""
CLOCKS = frozenset(
    "time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns "
    "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today".split()
)
METHODS = frozenset(
    "capitalize casefold center count decode encode endswith expandtabs find format format_map fromhex hex "
    "index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace "
    "istitle isupper join ljust lower lstrip maketrans partition removeprefix removesuffix rfind rindex "
    "rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill "
    "bit_length bit_count to_bytes as_integer_ratio is_integer conjugate get items keys values copy "
    "difference intersection isdisjoint issubset issuperset symmetric_difference union quantize normalize "
    "to_integral_value as_tuple copy_abs is_nan is_zero isoformat strftime timestamp date weekday "
    "isocalendar total_seconds astimezone toordinal digest hexdigest group groups groupdict match fullmatch "
    "search findall finditer most_common elements unpack unpack_from getvalue getbuffer tobytes tolist "
    "as_posix relative_to with_suffix with_name joinpath is_absolute acquire release locked "
    "_asdict _replace debug info warning".split()
)
"""Of texts, numbers, collections, dates, patterns, digests, paths, locks and loggers: they change nothing."""
CHANGING = frozenset(
    "add append appendleft clear difference_update discard extend extendleft insert intersection_update "
    "move_to_end pop popitem popleft remove reverse rotate setdefault sort subtract update".split()
)
"""Of collections: fine on one that the same function made."""
FILLING = frozenset("append extend reverse sort".split())
"""Fine on a parameter of a function that helps to make the value."""
READING = frozenset("read_text read_bytes exists is_file is_dir iterdir glob rglob stat resolve".split())
READING_OWN = frozenset(
    "read readline readlines fetchone fetchall fetchmany seek tell write writelines close".split()
)
"""Fine on what the same function opened or made."""
QUERIES = frozenset("execute fetch fetchrow fetchval".split())
BASES = frozenset(
    "object NamedTuple TypedDict Protocol Generic ABC Enum IntEnum StrEnum Flag Exception ValueError "
    "KeyError LookupError RuntimeError TypeError str int float tuple frozenset bytes dict list set".split()
)
