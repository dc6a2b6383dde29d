"""Small modules with a cache that may be bounded.

`# <site>` marks where the evidence points. `ask` is evaluated with n = 0, 1, ...; `kept` counts the entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cache:
    source: str
    ask: str
    kept: str


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
