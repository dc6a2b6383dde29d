"""Small modules whose values cannot be made again, must not be, or are not kept for ever."""

from tests.regenerator.cases.shared import Refused

STATEFUL = {
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
