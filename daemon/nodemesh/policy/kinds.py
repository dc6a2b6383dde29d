"""Which releases handle which types of events?

Types that the same sessions asked for are of one kind, and each kind has its own shares: in a rollout, a type
that only the canary handles is all the canary's. Mostly there is one kind.
"""

from collections.abc import Iterable, Sequence

from nodemesh.model.delivery import Session
from nodemesh.model.table import Consumer
from nodemesh.policy.shares import Parts, Shares


class Kind:
    __slots__ = ("is_wished", "shares")

    def __init__(self, consumer: Consumer) -> None:
        self.shares = Shares(consumer)
        self.is_wished = True
        """Whether anybody who is here asked for it; with nobody here, nothing is said against it."""

    @property
    def parts(self) -> Parts:
        return self.shares.parts

    @property
    def is_taken(self) -> bool:
        """Whether anybody may have it."""
        return bool(self.shares.parts.live or self.shares.parts.rest)


class Kinds:
    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._first = Kind(consumer)
        self.all: list[Kind] = [self._first]
        self._by_type = dict.fromkeys(consumer.types, self._first)
        self._by_tastes: dict[frozenset[frozenset[str]], Kind] = {}
        self._of: dict[Session, Sequence[Kind]] = {}

    @property
    def only(self) -> Kind | None:
        """If there is but one."""
        return self._first if len(self.all) == 1 else None

    def kind_of(self, type: str) -> Kind:
        """What is not consumed any more is of the first kind, until it is taken out."""
        return self._by_type.get(type, self._first)

    def of(self, session: Session) -> Sequence[Kind]:
        return self._of.get(session, ())

    def types(self, kinds: Iterable[Kind]) -> frozenset[str]:
        them = set(kinds)
        return frozenset(type for type, kind in self._by_type.items() if kind in them)

    def holds(self, wall: float) -> bool:
        """Whether all parts are still what they were decided to be."""
        return self._first.shares.holds(wall)

    def sort(self, consumer: Consumer, sessions: Sequence[Session]) -> bool:
        """Whether any type is of another kind now."""
        self.consumer = consumer
        whole = frozenset(consumer.types)
        tastes = {session: frozenset(session.wishes) & whole or whole for session in sessions}
        distinct = set(tastes.values())
        by_tastes: dict[frozenset[frozenset[str]], list[str]] = {}
        for type in consumer.types:
            by_tastes.setdefault(frozenset(taste for taste in distinct if type in taste), []).append(type)
        # The largest is the first: what is owed by shares stays with it when others come and go.
        order = sorted(by_tastes, key=lambda tastes: (-len(tastes), -len(by_tastes[tastes])))
        known, before = self._by_tastes, self._by_type
        self._by_tastes = {each: known.get(each) or Kind(consumer) for each in order[1:]}
        self.all = [self._first, *self._by_tastes.values()]
        self._by_type = {
            type: self._by_tastes.get(each, self._first) for each in order for type in by_tastes[each]
        }
        for each in order:
            kind = self._by_tastes.get(each, self._first)
            kind.is_wished, kind.shares.consumer = bool(each) or not sessions, consumer
        self._of = {
            session: tuple(dict.fromkeys(self._by_type[type] for type in consumer.types if type in taste))
            for session, taste in tastes.items()
        }
        if not consumer.types:
            self._first.shares.consumer = consumer
        return self._by_type != before

    def judge(self, sessions: Iterable[Session], wall: float) -> list[tuple[Kind, Parts]]:
        """Kinds whose parts are to be others now."""
        there: dict[Kind, set[str]] = {kind: set() for kind in self.all}
        for session in sessions:
            for kind in self._of[session]:
                there[kind].add(session.version)
        judged = [(kind, kind.shares.judge(versions, wall)) for kind, versions in there.items()]
        return [(kind, parts) for kind, parts in judged if parts != kind.parts]
