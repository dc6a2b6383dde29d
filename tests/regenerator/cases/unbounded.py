"""Small modules where functools keeps what must not be dropped, or where there is nothing to bound."""

from tests.regenerator.cases.shared import Refused

UNBOUNDED = {
    "local": Refused(
        """
def count(words):
    table = {}
    for word in words:
        if word not in table:
            table[word] = word * 2  # <site>
    return "".join(table)
""",
        "nothing that outlives the call",
    ),
    "import time": Refused(
        """
TEXT = "x" * 1000  # <site>
""",
        "import time",
    ),
    "a cache of one": Refused(
        """
import functools


@functools.cache
def settings():
    return "x" * 100  # <site>
""",
        "no parameters",
    ),
    "a cache of coroutines": Refused(
        """
import functools


@functools.cache
async def page(number):
    return "x" * number  # <site>
""",
        "coroutines",
    ),
    "a cache of identities": Refused(
        """
import functools
import threading


@functools.cache
def lock_for(name):
    return threading.Lock()  # <site>
""",
        "Lock",
    ),
    "a cache of dice": Refused(
        """
import functools
import random


@functools.lru_cache(maxsize=None)
def colour_of(name):
    return name + random.choice("rgb")  # <site>
""",
        "choice",
    ),
    "bounded already": Refused(
        """
import functools


@functools.lru_cache
def page(number):
    return "x" * number  # <site>
""",
        "nothing that outlives the call",
    ),
    "a list that grows": Refused(
        """
LOG = []


def note(text):
    LOG.append(text * 2)  # <site>
""",
        "not made as an empty dict",
    ),
    "name taken": Refused(
        """
_TABLE_MAX_ENTRIES = "mine"
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "is taken",
    ),
    "a cached function whose result a caller changes": Refused(
        """
import functools


@functools.cache
def basket(customer):
    return customer.split(",")  # <site>


def put(customer, thing):
    mine = basket(customer)
    mine.append(thing)
""",
        "is changed by put",
    ),
    "made by a variable": Refused(
        """
COMMANDS = {}


def command(name, table):
    made = COMMANDS.get(name)
    if made is None:
        kind = table[name]
        made = COMMANDS[name] = kind(name)  # <site>
    return made
""",
        "what it makes cannot be known",
    ),
}
