"""Whatever happens, in any order: no event is lost, held twice, out of order, or held up for no reason."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from nodemesh.model.cursor import Cursor
from nodemesh.model.delivery import Offer, Session
from nodemesh.model.table import Consumer, Share
from nodemesh.policy.delivery import Delivery
from tests.nodemesh.policy.books import TYPES, WISHES, Books, Known


class Rounds(Books):
    # ---- what the world does

    @initialize(keeps_order=st.booleans(), granted=st.sampled_from((2, 100)))
    def begin(self, keeps_order: bool, granted: int) -> None:
        self.join("1", granted, keeps_order)
        self.join("2", granted, keeps_order)

    @rule(
        types=st.sampled_from((("placed",), ("paid",), TYPES)),
        keys=st.lists(st.integers(0, 3), min_size=2, max_size=6),
        gaps=st.sets(st.integers(0, 5), max_size=2),
        skip=st.integers(0, 2),
        asked=st.sampled_from((True, True, False)),
    )
    def offer(self, types: tuple[str, ...], keys: list[int], gaps: set[int], skip: int, asked: bool) -> None:
        places = tuple(place for place in range(len(keys)) if place not in gaps)
        position = max(self.log[-1].position if self.log else 0, self.machine.offered) + 1 + skip
        if not places:
            return
        column = tuple(place % 2 for place in range(len(keys))) if len(types) > 1 else ()
        offer = Offer(position, places, types, column, tuple(keys) if any(keys) else ())
        kept_up = not self.log or self.machine.offered >= self.log[-1].position
        self.log.append(offer)
        for place in places:
            attempts = WISHES[offer.type_of(place)].attempts
            self.events[(position, place)] = Known(keys[place], attempts)
        if kept_up:
            self.machine.offer(offer)
        for who in self.hands if asked else ():
            self._take(who, 1)

    @precondition(lambda self: self.log and self.log[-1].position > self.machine.offered)
    @rule()
    def read_on(self) -> None:
        """After a restart the log is read again, bit by bit."""
        behind = [offer for offer in self.log if offer.position > self.machine.offered]
        for offer in behind[:2]:
            self.machine.offer(offer)

    @rule(
        version=st.sampled_from(("1", "1", "2")),
        granted=st.sampled_from((1, 2, 7, 100)),
        keeps_order=st.booleans(),
    )
    def join(self, version: str, granted: int, keeps_order: bool) -> None:
        if len(self.hands) < 4:
            self.numbered += 1
            made = Session(f"payment.{self.numbered}", version, WISHES, granted, keeps_order)
            self.machine.join(made)
            self.hands[made] = {}

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), seldom=st.integers(0, 2))
    def leave(self, data: st.DataObject, seldom: int) -> None:
        if seldom != 2:
            return
        who = self._who(data)
        alone = [d for d in self.hands[who].values() if len(d.answered) < len(d.events)]
        self.machine.leave(who, self.now)
        del self.hands[who]
        if len(self.hands) < 2:
            self.join(who.version, 100, not who.keeps_order)
        for delivered in alone:
            for place, event in enumerate(delivered.events):
                if place not in delivered.answered and self.events[event].hand is who:
                    self.events[event].hand = None
                    self.events[event].lost += 1
        self._hear_of_letters()

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), events=st.integers(1, 20))
    def grant(self, data: st.DataObject, events: int) -> None:
        self._who(data).granted += events

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), most=st.sampled_from((1, 100, 100)))
    def take(self, data: st.DataObject, most: int) -> None:
        self._take(self._who(data), most)

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data())
    def settle_through(self, data: st.DataObject) -> None:
        """Cumulative; some events of these deliveries failed."""
        who = self._busy(data)
        through = data.draw(st.sampled_from(sorted(self.hands[who])))
        failed = self._failures(data, who, [n for n in self.hands[who] if n <= through])
        self.machine.settle(who, through, (), failed, self.now)
        self._answered(who, failed)
        for number in [n for n in self.hands[who] if n <= through]:
            self._handled(who, number)
        self._hear_of_letters()

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data())
    def settle_one(self, data: st.DataObject) -> None:
        """All of it failed, or none."""
        who = self._busy(data)
        number = data.draw(st.sampled_from(sorted(self.hands[who])))
        if data.draw(st.booleans()):
            self.machine.settle(who, done=(number,))
            self._handled(who, number)
        else:
            self._fail(data, who, [number])

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data())
    def settle_some(self, data: st.DataObject) -> None:
        """Out of order, some only in part."""
        who = self._busy(data)
        numbers = data.draw(st.sets(st.sampled_from(sorted(self.hands[who])), min_size=1))
        done = data.draw(st.sets(st.sampled_from(sorted(numbers))))
        self._fail(data, who, sorted(numbers))
        self.machine.settle(who, 0, tuple(done), (), self.now)
        for number in done:
            self._handled(who, number)

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        who = self._busy(data)
        self.machine.working(who, tuple(self.hands[who]), self.now)

    @rule(seconds=st.sampled_from((0.0, 0.1, 1.0, 29.0, 31.0, 90_000.0)), step=st.sampled_from((0, 0, -900)))
    def pass_time(self, seconds: float, step: int) -> None:
        self.now += seconds
        self.wall += seconds + step
        held = {who: dict(who.held) for who in self.hands}
        soonest = self.machine.tick(self.now, self.wall)
        assert soonest > self.now
        for who, before in held.items():
            for number in before.keys() - who.held.keys():
                self._failed_whole(who, number)
        self._hear_of_letters()

    @rule(
        share=st.sampled_from((0.0, 0.1, 0.5, 1.0)),
        valid=st.sampled_from((-1.0, 20.0, 1e9)),
        stable=st.sampled_from(("1", "1", "1", "2", "")),
    )
    def route(self, share: float, valid: float, stable: str) -> None:
        shares = (Share("2", share, self.wall + valid),) if stable != "2" else ()
        self.consumer = Consumer("payment", self.consumer.types, stable, shares)
        self.machine.route(self.consumer)

    @precondition(lambda self: self.letters)
    @rule()
    def keep(self) -> None:
        letters, self.letters = self.letters, []
        self.machine.kept(letters)
        for letter in letters:
            known = self.events[(letter.address.position, letter.address.place)]
            if known.aside:
                known.settled, known.aside = True, False

    @rule(seldom=st.integers(0, 7))
    def restart(self, seldom: int) -> None:
        if seldom != 7:
            return
        cursor = self.machine.cursor
        self._as_the_cursor_says(cursor)
        self.generation += 1
        self.machine = Delivery(self.consumer, cursor, self.generation)
        self.hands.clear()
        self.join("1", 100, self.generation % 2 == 0)
        for known in self.events.values():
            # Set aside and not kept: all begins again, and letters that come late are of no use.
            # One more try for each time that a letter was not kept.
            known.attempts += known.aside
            known.aside, known.hand = False, None
        self.log = [offer for offer in self.log if offer.position >= cursor.floor]

    # ---- what holds at all times

    @invariant()
    def everything_is_somewhere(self) -> None:
        offered = [e for e, known in self.events.items() if e[0] <= self.machine.offered]
        assert self.machine.waiting == sum(not self.events[event].settled for event in offered)
        open_ones = [event[0] for event, known in self.events.items() if not known.settled]
        floor = self.machine.floor
        assert all(position >= floor for position in open_ones)
        still = [position for position in open_ones if position <= self.machine.offered]
        assert floor == min(still, default=self.machine.offered + 1)

    @invariant()
    def a_key_is_in_one_hand(self) -> None:
        if not self.ordered:
            return
        hands: dict[int, set[int]] = {}
        for known in self.events.values():
            if known.hand is not None and known.key:
                hands.setdefault(known.key, set()).add(id(known.hand))
        assert all(len(held) == 1 for held in hands.values()), hands

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def nothing_waits_for_no_reason(self, data: st.DataObject) -> None:
        """All are asked, in any order; then what waits has a reason.

        Twice: hands that were to be emptied for a suspect may go on once another has taken it.
        """
        self.pass_time(0.0, 0)
        for who in data.draw(st.permutations(list(self.hands))) * 2:
            self._take(who, 1000)
        canary_there = self._live().keys() & {who.version for who in self.hands}
        for who in self.hands:
            if who.version in self._rest() and who.room > 0:
                waiting = [event for event in self.events if not self._has_a_reason(event, bool(who.held))]
                if not canary_there:
                    assert not waiting, f"{who} could have {waiting}"
                elif not self.ordered and self._live()["2"] < 1.0:
                    assert not waiting, f"{who} could have {waiting}, beside a canary"

    def teardown(self) -> None:
        """Given a stable session, time and good will, everything is handled and nothing is left behind."""
        self.consumer = Consumer("payment", self.consumer.types, "1")
        self.machine.route(self.consumer)
        self.read_on_to_the_end()
        for who in list(self.hands):
            self.machine.leave(who, self.now)
        self.hands.clear()
        for known in self.events.values():
            known.hand = None
        self._hear_of_letters()
        last = Session("payment.0", "1", WISHES, 10_000, self.numbered % 2 == 0)
        self.machine.join(last)
        self.hands[last] = {}
        for _ in range(400):
            self.keep()
            if not self.machine.waiting:
                break
            self._take(last, 1)
            for number in list(self.hands[last]):
                self.machine.settle(last, number)
                self._handled(last, number)
            self.now += 30.0
            self.machine.tick(self.now, self.wall)
        assert not self.machine.waiting
        assert all(known.settled for known in self.events.values())
        assert self.machine.cursor == Cursor(self.machine.offered + 1)

    def read_on_to_the_end(self) -> None:
        for offer in self.log:
            if offer.position > self.machine.offered:
                self.machine.offer(offer)


class OrderedRounds(Rounds):
    ordered = True


@pytest.mark.parametrize("rounds", [Rounds, OrderedRounds])
def test_whatever_happens(rounds: type[Rounds]) -> None:
    case = rounds.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
    case().runTest()
