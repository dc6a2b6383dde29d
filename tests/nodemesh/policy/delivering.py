"""Words for stories about delivery."""

from collections.abc import Sequence

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import Offer, Sending, Session, SetAside, Wish
from nodemesh.model.table import Consumer, Share
from nodemesh.policy.delivery import Delivery

LATER = 1e12
"""Seconds since the epoch at which no share is valid any more."""
PLAIN = Consumer("payment", {"placed": False, "paid": False}, "1")
ORDERED = Consumer("payment", {"placed": True}, "1")


def with_shares(consumer: Consumer, **shares: float) -> Consumer:
    """`v2=0.1`: release 2 has a tenth."""
    made = tuple(Share(version[1:], share, LATER) for version, share in shares.items())
    return Consumer(consumer.node, consumer.types, consumer.stable, made)


def machine(consumer: Consumer = PLAIN, floor: int = 1) -> Delivery:
    return Delivery(consumer, Cursor(floor))


def frame(position: int, events: int = 1, keys: Sequence[int] = ()) -> Offer:
    return Offer(position, range(events), ("placed",), (), tuple(keys))


def session(
    delivery: Delivery,
    version: str = "1",
    granted: int = 1000,
    name: str = "a",
    wish: Wish | None = None,
    keeps_order: bool = False,
) -> Session:
    wish = wish or Wish()
    made = Session(name, version, {"placed": wish, "paid": wish}, granted, keeps_order)
    delivery.join(made)
    return made


def taken(delivery: Delivery, who: Session, now: float = 0.0, wall: float = 0.0) -> list[Sending]:
    """All it gets."""
    found = []
    while sending := delivery.next(who, now, wall):
        found.append(sending)
    return found


def events(sendings: Sequence[Sending]) -> list[tuple[int, int]]:
    return [(each.position, place) for each in sendings for place in each.places]


def count(sendings: Sequence[Sending]) -> int:
    return sum(len(each.places) for each in sendings)


def keep(delivery: Delivery) -> tuple[SetAside, ...]:
    """The dead letters, kept."""
    letters = delivery.take_aside()
    delivery.kept(letters)
    return letters
