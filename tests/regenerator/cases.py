"""Small modules: caches that may be bounded, and dicts and functions that must not be.

`# <site>` marks where the evidence points. `ask` is evaluated with n = 0, 1, ...; `kept` counts entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cache:
    source: str
    ask: str
    kept: str


@dataclass(frozen=True, slots=True)
class Refused:
    source: str
    because: str


CACHES = {
    "get": Cache(
        '''
"""Quotes."""
from __future__ import annotations

import time

QUOTES: dict[str, str] = {}  # per customer and product


def quote(customer: str, sku: str) -> str:
    key = f"{customer}:{sku}"
    text = QUOTES.get(key)
    if text is None:
        text = "x" * 3000 + sku  # <site>
        QUOTES[key] = text
    return text
''',
        "quote('ann', str(n))",
        "len(QUOTES)",
    ),
    "in": Cache(
        """
import json
_pages = dict()
def page(number):
    if number not in _pages:
        _pages[number] = json.dumps({"number": number}) * 20  # <site>
    return _pages[number]
""",
        "page(n)",
        "len(_pages)",
    ),
    "try": Cache(
        """
seen_prices = {}


def price(sku, currency):
    try:
        return seen_prices[sku, currency]
    except KeyError:
        pass
    value = seen_prices[sku, currency] = sum(ord(c) for c in sku) * len(currency)  # <site>
    return value
""",
        "price(str(n), 'EUR')",
        "len(seen_prices)",
    ),
    "setdefault": Cache(
        """
NAMES = {}


def name_of(number):
    return NAMES.setdefault(number, "name " + str(number))  # <site>
""",
        "name_of(n)",
        "len(NAMES)",
    ),
    "walrus": Cache(
        """
NAMES = {}


def name_of(number):
    if (text := NAMES.get(number)) is None:
        text = NAMES[number] = f"name {number}"  # <site>
    return text
""",
        "name_of(n)",
        "len(NAMES)",
    ),
    "class attribute": Cache(
        """
class Pages:
    made = {}

    @classmethod
    def page(cls, number):
        text = cls.made.get(number)
        if text is None:
            text = "-" * number  # <site>
            cls.made[number] = text
        return text
""",
        "Pages.page(n)",
        "len(Pages.made)",
    ),
    "instance attribute": Cache(
        """
import threading


class Pages:
    def __init__(self, title):
        self.title = title
        self.made: dict[int, str] = {}
        self.lock = threading.Lock()

    def page(self, number):
        with self.lock:
            if number in self.made:
                return self.made[number]
            text = self.render(number)
            self.made[number] = text
            return text

    def render(self, number):
        lines = []
        for line in range(number % 5):
            lines.append(f"{self.title} {number} {line}")  # <site>
        return "\\n".join(lines)

    def forget(self, number):
        self.made.pop(number, None)


PAGES = Pages("t")
""",
        "PAGES.page(n)",
        "len(PAGES.made)",
    ),
    "ordered": Cache(
        """
import collections

RECENT = collections.OrderedDict()


def look(number):
    if number in RECENT:
        RECENT.move_to_end(number)
        return RECENT[number]
    value = RECENT[number] = str(number) * 10  # <site>
    return value
""",
        "look(n)",
        "len(RECENT)",
    ),
    "made in a callee": Cache(
        """
CARDS = {}


def card(number):
    found = CARDS.get(number)
    if found is not None:
        return found
    found = frame(body(number))
    CARDS[number] = found
    return found


def frame(text):
    return "[" + text + "]"


def body(number):
    return "b" * (number % 9)  # <site>
""",
        "card(n)",
        "len(CARDS)",
    ),
    "made by a constructor": Cache(
        """
class Card:
    def __init__(self, number):
        self.text = "c" * number  # <site>


class Cards:
    made: dict[int, Card]

    def __init__(self):
        self.made = {}

    def card(self, number):
        if number not in self.made:
            self.made[number] = Card(number)
        return self.made[number]


CARDS = Cards()
""",
        "CARDS.card(n).text",
        "len(CARDS.made)",
    ),
    "time to live": Cache(
        """
import time

RATES = {}


def rate(pair):
    entry = RATES.get(pair)
    now = time.monotonic()
    if entry is not None and entry[1] > now:
        return entry[0]
    value = pair * 2.5  # <site>
    RATES[pair] = (value, now + 60)
    return value
""",
        "rate(n)",
        "len(RATES)",
    ),
    "async": Cache(
        """
import asyncio

BODIES = {}


async def fetch(number):
    await asyncio.sleep(0)
    return "body " + str(number)


async def body(number):
    if number not in BODIES:
        BODIES[number] = await fetch(number)  # <site>
    return BODIES[number]
""",
        "asyncio.run(body(n))",
        "len(BODIES)",
    ),
    "nested function": Cache(
        """
ANSWERS = {}


def route(number):
    def answer():
        text = ANSWERS.get(number)
        if text is None:
            text = f"answer {number}"  # <site>
            ANSWERS[number] = text
        return text
    return answer()
""",
        "route(n)",
        "len(ANSWERS)",
    ),
    "functools.cache": Cache(
        """
import functools


@functools.cache
def square(number):
    return str(number * number)  # <site>
""",
        "square(n)",
        "square.cache_info().currsize",
    ),
    "cache": Cache(
        """
from functools import cache, partial

half = partial(divmod, 2)


@cache  # every answer
def square(number):
    return str(number * number)  # <site>
""",
        "square(n)",
        "square.cache_info().currsize",
    ),
    "cache by another name, used twice": Cache(
        """
from functools import cache as remember


@remember
def settings():
    return "one"


@remember
def square(number):
    return str(number * number)  # <site>
""",
        "square(n)",
        "square.cache_info().currsize",
    ),
    "lru_cache by position": Cache(
        """
from functools import lru_cache

@lru_cache(None)
def square(number):
    return str(number * number)  # <site>
""",
        "square(n)",
        "square.cache_info().currsize",
    ),
    "lru_cache by name, on a method": Cache(
        """
import functools as f


class Sums:
    @f.lru_cache(typed=True, maxsize=None)
    def square(self, number):
        return str(number * number)  # <site>


SUMS = Sums()
""",
        "SUMS.square(n)",
        "Sums.square.cache_info().currsize",
    ),
    "wrapped by hand, called at the site": Cache(
        """
import functools


def _square(number):
    return str(number * number)


square = functools.lru_cache(maxsize=None)(_square)


def show(number):
    return square(number)  # <site>
""",
        "show(n)",
        "square.cache_info().currsize",
    ),
}

REFUSED = {
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


def how_many():
    return len(VISITORS)
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
    "sessions": Refused(
        """
import secrets

SESSIONS = {}


def login(user):
    token = secrets.token_hex() + user
    SESSIONS[token] = user.upper()  # <site>
    return token


def user_of(token):
    return SESSIONS.get(token)
""",
        "fresh key",
    ),
    "what a client sent": Refused(
        """
DRAFTS = {}


def save(name, text):
    DRAFTS[name] = text  # <site>


def load(name):
    return DRAFTS.get(name)
""",
        "handed in",
    ),
    "tokens": Refused(
        """
import secrets

TOKENS = {}


def token_for(user):
    if user not in TOKENS:
        TOKENS[user] = user + secrets.token_hex()  # <site>
    return TOKENS[user]
""",
        "token_hex",
    ),
    "tokens made elsewhere": Refused(
        """
import uuid

IDS = {}


def fresh(user):
    return user + str(uuid.uuid4())


def id_of(user):
    if user not in IDS:
        IDS[user] = fresh(user)  # <site>
    return IDS[user]
""",
        "uuid4",
    ),
    "numbers from a sequence": Refused(
        """
import itertools

SEQUENCE = itertools.count()
NUMBERS = {}


def number_of(user):
    if user not in NUMBERS:
        NUMBERS[user] = user + str(next(SEQUENCE))  # <site>
    return NUMBERS[user]
""",
        "next(SEQUENCE)",
    ),
    "a lock for each key": Refused(
        """
import threading

LOCKS = {}


def lock_for(name):
    if name not in LOCKS:
        LOCKS[name] = threading.Lock() if name else threading.RLock()  # <site>
    return LOCKS[name]
""",
        "Lock",
    ),
    "connections": Refused(
        """
import socket

PEERS = {}


def peer(address):
    found = PEERS.get(address)
    if found is None:
        found = PEERS[address] = socket.create_connection(address)  # <site>
    return found
""",
        "create_connection",
    ),
    "idempotency": Refused(
        """
DONE = {}


def buy(order, bank):
    if order in DONE:
        return DONE[order]
    DONE[order] = bank.charge(order)  # <site>
    return DONE[order]
""",
        "act twice",
    ),
    "idempotency beside the store": Refused(
        """
DONE = {}


def buy(order, bank):
    if order in DONE:
        return DONE[order]
    receipt = f"paid {order}"  # <site>
    bank.charge(order)
    DONE[order] = receipt
    return receipt
""",
        "act twice",
    ),
    "what was seen": Refused(
        """
SEEN = {}


def first_time(message):
    if message in SEEN:
        return False
    SEEN[message] = str(message) * 3  # <site>
    return True
""",
        "set of what was seen",
    ),
    "marks": Refused(
        """
SEEN = {}


def first_time(message):
    if SEEN.get(message):
        return False
    SEEN[message] = True  # <site>
    return True
""",
        "handed in",
    ),
    "first times": Refused(
        """
import time

FIRST = {}


def first_seen(name):
    if name not in FIRST:
        FIRST[name] = time.time()  # <site>
    return FIRST[name]
""",
        "not made from the parameters",
    ),
    "read elsewhere without refilling": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]


def peek(name):
    return TABLE.get(name)
""",
        "without making a missing entry",
    ),
    "expected to be there": Refused(
        """
TABLE = {}


def look(name):
    TABLE[name] = name * 2  # <site>
    return TABLE[name]
""",
        "never looked up",
    ),
    "removed without asking": Refused(
        """
TABLE = {}


def look(name):
    if name not in TABLE:
        TABLE[name] = name * 2  # <site>
    return TABLE[name]


def close(name):
    del TABLE[name]
""",
        "expected to hold what is removed",
    ),
    "pending work": Refused(
        """
PENDING = {}


def begin(name):
    if name not in PENDING:
        PENDING[name] = name * 2  # <site>
    return PENDING[name]


def finish(name):
    return PENDING.pop(name, None)
""",
        "pending work",
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
    "rooms with members": Refused(
        """
class Room:
    def __init__(self, name):
        self.name = name
        self.members = []

    def enter(self, who):
        self.members.append(who)


ROOMS = {}


def room(name):
    if name not in ROOMS:
        ROOMS[name] = Room(name)  # <site>
    return ROOMS[name]
""",
        "changes after it was made",
    ),
    "empty collections": Refused(
        """
GROUPS = {}


def group(name):
    if name not in GROUPS:
        GROUPS[name] = set() if name else list(name)  # <site>
    return GROUPS[name]
""",
        "to be filled later",
    ),
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
}
