"""Small modules with a cache whose values are followed through the release before it may be bounded."""

from tests.regenerator.cases.caches import Cache

FOLLOWED = {
    "frozen objects": Cache(
        """
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    number: int
    value: Decimal


PRICES = {}


def price(number):
    found = PRICES.get(number)
    if found is None:
        found = Price(number, Decimal(number) / 7)  # <site>
        PRICES[number] = found
    return found


def show(number):
    parts = [str(price(number).value)]
    parts.append("EUR")
    return " ".join(parts)
""",
        "show(n)",
        "len(PRICES)",
    ),
    "read from a file and a database": Cache(
        """
import hashlib
import sqlite3
import urllib.parse
from pathlib import Path

TEXTS = {}
DATABASE = sqlite3.connect(":memory:")


def text_of(number):
    if number not in TEXTS:
        row = DATABASE.execute("select ?", (number,)).fetchone()
        with open("/dev/null", "r") as file:
            text = file.read() + Path("/dev/null").read_text()
        parts = [str(row[0]), urllib.parse.quote(text)]
        parts.append(hashlib.sha256(text.encode()).hexdigest())  # <site>
        TEXTS[number] = f"{number} " + "".join(sorted(parts))
    return TEXTS[number]
""",
        "text_of(n)",
        "len(TEXTS)",
    ),
    "a method with the name of a variable": Cache(
        """
class Product:
    def __init__(self, euros):
        self.euros = euros

    def price(self, rate):
        return self.euros * rate


TEXTS = {}


def text_of(number):
    if number not in TEXTS:
        product = Product(number)
        lines = []
        for price in (product.price(rate) for rate in (1, 2)):
            lines.append(f"{price:>9}")  # <site>
        TEXTS[number] = f"{number}:" + " ".join(lines)
    return TEXTS[number]
""",
        "text_of(n)",
        "len(TEXTS)",
    ),
    "its size is reported": Cache(
        """
PAGES = {}


def page(number):
    if number not in PAGES:
        PAGES[number] = str(number) * 9  # <site>
    return PAGES[number]


def size():
    return len(PAGES)


def report():
    return {"pages": len(PAGES), "size": size()}
""",
        "page(n)",
        "report()['size']",
    ),
    "made by what the caller hands in": Cache(
        """
ANSWERS = {}


def remembered(key, make):
    try:
        return ANSWERS[key]
    except KeyError:
        ANSWERS[key] = made = make(key)  # <site>
        return made


def answer(number):
    return remembered(number, str)
""",
        "answer(n)",
        "len(ANSWERS)",
    ),
}
