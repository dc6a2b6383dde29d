"""Small modules whose values cannot be made again, must not be, or change after they were made."""

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
    "rooms whose list is filled from outside": Refused(
        """
from dataclasses import dataclass, field


@dataclass
class Room:
    name: str
    members: list[str] = field(default_factory=list)


ROOMS = {}


def room(name):
    if name not in ROOMS:
        ROOMS[name] = make(name)  # <site>
    return ROOMS[name]


def make(name):
    return Room(name)
""",
        "changes after it was made",
    ),
    "records with a field set elsewhere": Refused(
        """
class Record:
    def __init__(self, name):
        self.name = name
        self.hits = 0


RECORDS = {}


def record(name):
    if name not in RECORDS:
        RECORDS[name] = Record(name)  # <site>
    return RECORDS[name]


def hit(name):
    found = record(name)
    found.hits += 1
""",
        "changes after it was made",
    ),
    "changed by a caller": Refused(
        """
COUNTS = {}


def counts(name):
    if name not in COUNTS:
        COUNTS[name] = {"name": name, "hits": int(name)}  # <site>
    return COUNTS[name]


def hit(name):
    counts(name)["hits"] += 1
""",
        "is changed by hit",
    ),
    "objects of a class from elsewhere": Refused(
        """
from limits import TokenBucket

BUCKETS = {}


def bucket(client):
    found = BUCKETS.get(client)
    if found is None:
        found = BUCKETS[client] = TokenBucket(client)  # <site>
    return found
""",
        "a class outside the release",
    ),
}
