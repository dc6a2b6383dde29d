"""Small modules where making the value, or what is done beside it, acts on the world or may do so."""

from tests.regenerator.cases.shared import Refused


def kept(imports: str, value: str, *more: str, beside: str = "pass") -> str:
    """A module that keeps `value` for each `key`."""
    return f"""
{imports}

DONE = {{}}


def once(key, thing):
    if key not in DONE:
        made = {value}  # <site>
        {beside}
        DONE[key] = made
    return DONE[key]

""" + "\n".join(more)


ACTING = {
    "a payment by http": Refused(
        kept(
            "import urllib.request",
            "settle(key)",
            "def settle(amount):",
            "    with urllib.request.urlopen('http://bank', data=str(amount).encode()) as answer:",
            "        return answer.read().decode()",
        ),
        "cannot know what urllib.request.urlopen() does outside the release (shop/case.py:15)",
    ),
    "a row that is inserted": Refused(
        kept(
            "import sqlite3\ndb = sqlite3.connect('x')",
            "db.execute('INSERT INTO t VALUES (?)', key).lastrowid",
        ),
        "cannot know what db.execute() does",
    ),
    "a query that draws a number": Refused(
        kept("from shop import db", "db.execute('SELECT nextval(?)', key).fetchone()"),
        "cannot know what db.execute() does",
    ),
    "a query that is put together": Refused(
        kept("", "thing.execute('SELECT ' + key).fetchone()"), "cannot know what thing.execute() does"
    ),
    "a mail": Refused(
        kept(
            "import smtplib",
            "greet(key)",
            "def greet(user):",
            "    server = smtplib.SMTP('mail')",
            "    server.sendmail('a', user, 'hello')",
            "    return 'hello ' + user",
        ),
        "sendmail",
    ),
    "a mail by another name": Refused(
        kept("from mail import deliver", "deliver(key)"), "cannot know what deliver() does"
    ),
    "a file that is taken away": Refused(
        kept("from pathlib import Path", "Path(key).read_text()", beside="Path(key).unlink()"), "unlink"
    ),
    "a file that is written": Refused(
        kept(
            "",
            "put(key)",
            "def put(key):",
            "    with open(key, 'w') as file:",
            "        return file.write(key)",
        ),
        "cannot know what open() does",
    ),
    "a pool": Refused(
        kept("from db import create_pool", "create_pool(key)"), "cannot know what create_pool() does"
    ),
    "a booking beside the store": Refused(
        kept("", "f'seat {key}'", beside="thing.book(key)"), "cannot know what thing.book() does"
    ),
    "an awaited get": Refused(
        kept("", "await thing.get(key)").replace("def once", "async def once"),
        "cannot know what thing.get() does",
    ),
    "a list that outlives the call": Refused(
        kept("FREE = ['a', 'b']", "key + FREE.pop()"), "changes what outlives the call"
    ),
    "the same list by another name": Refused(
        kept("FREE = ['a', 'b']", "key + take()", "def take():", "    mine = FREE", "    return mine.pop()"),
        "changes what outlives the call",
    ),
    "a function that is handed on": Refused(
        kept("from shop_bank import charge_all", "list(map(charge_all, key))"),
        "cannot know what charge_all() does",
    ),
    "a function that a caller hands in": Refused(
        kept(
            "import os",
            "thing(key)",
            "def removed(key):",
            "    return once(key, os.remove)",
        ),
        "cannot know what os.remove() does",
    ),
    "a function that nobody hands in": Refused(kept("", "thing(key)"), "cannot know what thing() does"),
    "a decorator from elsewhere": Refused(
        kept("from shop_bank import paid", "seat(key)", "@paid", "def seat(key):", "    return key * 2"),
        "cannot know what paid() does",
    ),
    "a time that is kept": Refused(
        kept("import time", "(key, time.time())"), "made again it would be another one"
    ),
    "a class that acts when it is made": Refused(
        kept(
            "import os",
            "Slot(key)",
            "class Slot:",
            "    def __init__(self, key):",
            "        self.key = os.mkdir(key)",
        ),
        "cannot know what os.mkdir() does",
    ),
    "a cached function": Refused(
        """
import functools
import subprocess


@functools.cache
def host_of(name):
    return subprocess.run(["host", name]).stdout  # <site>
""",
        "cannot know what subprocess.run() does",
    ),
}
