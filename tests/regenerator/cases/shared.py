"""Small modules with a dict that must stay whole: others depend on its entries, or they add up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """`because` stands in the reason."""

    source: str
    because: str


SHARED = {
    "registry filled at import": Refused(
        """
PLUGINS = {}
PLUGINS["csv"] = str


def load(name):
    if name not in PLUGINS:
        PLUGINS[name] = name.upper() + "!"  # <site>
    return PLUGINS[name]
""",
        "import time",
    ),
    "registry filled by a decorator": Refused(
        """
ROUTES = {}


def route(path):
    def keep(function):
        ROUTES[path] = function  # <site>
        return function
    return keep


def find(path):
    return ROUTES.get(path)
""",
        "what a caller handed in",
    ),
    "registry of closures": Refused(
        """
HOOKS = {}


def hook(name):
    if name not in HOOKS:
        def call():
            return name
        HOOKS[name] = call  # <site>
    return HOOKS[name]
""",
        "functions",
    ),
    "iterated": Refused(
        """
TOTALS = {}


def total(name):
    if name not in TOTALS:
        TOTALS[name] = len(name) * 2  # <site>
    return TOTALS[name]


def all_of_them():
    return sum(value for value in TOTALS.values())
""",
        "iterated",
    ),
    "counted": Refused(
        """
VISITORS = {}


def visit(name):
    if name not in VISITORS:
        VISITORS[name] = name + " came"  # <site>
    return VISITORS[name]


def prize():
    return how_many() > 1000


def how_many():
    return len(VISITORS)
""",
        "size looked at",
    ),
    "numbered by a function that counts": Refused(
        """
NUMBERS = {}


def number_of(name):
    if name not in NUMBERS:
        NUMBERS[name] = f"{name} {how_many()}"  # <site>
    return NUMBERS[name]


def how_many():
    return len(NUMBERS)
""",
        "size looked at",
    ),
    "asked whether full": Refused(
        """
TABLE = {}


def look(name):
    if len(TABLE) > 100:
        return None
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "size looked at",
    ),
    "asked whether empty": Refused(
        """
TABLE = {}


def look(name):
    if not TABLE:
        return None
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "size looked at",
    ),
    "returned": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE
""",
        "handed out",
    ),
    "handed to a function": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    print(TABLE)
    return TABLE[name]
""",
        "handed out",
    ),
    "kept under another name": Refused(
        """
TABLE = {}
ALIAS = TABLE


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "handed out",
    ),
    "bound again by a function": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]


def reset():
    global TABLE
    TABLE = {}
""",
        "bound again",
    ),
    "bound twice": Refused(
        """
TABLE = {}
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "bound more than once",
    ),
    "a table with entries": Refused(
        """
RATES = {"EUR": 1.0}


def rate(name):
    if name not in RATES:
        RATES[name] = len(name) * 1.1  # <site>
    return RATES[name]
""",
        "starts with entries",
    ),
    "defaultdict": Refused(
        """
from collections import defaultdict

SEEN = defaultdict(list)


def note(name):
    SEEN[name].append(name * 2)  # <site>
""",
        "defaultdict",
    ),
    "counter": Refused(
        """
HITS = {}


def hit(name):
    HITS[name] = HITS.get(name, 0) + int(name)  # <site>
    return HITS[name]
""",
        "accumulates",
    ),
    "augmented": Refused(
        """
HITS = {}


def hit(name):
    if name not in HITS:
        HITS[name] = int(name)  # <site>
    HITS[name] += 1
    return HITS[name]
""",
        "grow",
    ),
    "history": Refused(
        """
HISTORY = {}


def note(name, event):
    HISTORY.setdefault(name, []).append(event * 2)  # <site>
    return HISTORY[name]
""",
        "grow",
    ),
    "history by name": Refused(
        """
HISTORY = {}


def note(name, event):
    past = HISTORY.get(name)
    if past is None:
        past = list(event)
        HISTORY[name] = past
    past.append(event * 2)  # <site>
    return past
""",
        "changed later",
    ),
    "exported": Refused(
        """
__all__ = ["TABLE", "look"]
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "__all__",
    ),
    "fixed key": Refused(
        """
TABLE = {}


def look(name):
    if "last" not in TABLE:
        TABLE["last"] = name * 2  # <site>
    return TABLE["last"]
""",
        "does not come from a parameter",
    ),
    "merged": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE.update({name: name * 2})  # <site>
    return TABLE[name]
""",
        "whole mappings",
    ),
}
