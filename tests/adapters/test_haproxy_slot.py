"""Do planned commands lead from any slot to any route, with every pin pointing at a server at each step?"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.adapters.haproxy_slot import (
    Command,
    Maps,
    Present,
    apart,
    cut,
    first_questions,
    instance_of,
    name_of,
    plan,
    present,
    questions,
    stop,
)
from noded.model.route import Place, Route, Server
from noded.ports import Refused

MAPS = Maps("/m/numbers.map", "/m/names.map", "/m/hosts.map")
OLD = Maps("/m/numbers.map", "/m/names.map")
SLOT = "s1"
NOW = 1000.0


class Slot:
    """What the runtime API does to one slot, as far as plans use it."""

    def __init__(self) -> None:
        self.backends: dict[str, dict[str, tuple[int, int]]] = {SLOT: {}, apart(SLOT): {}}
        self.entries: dict[str, str] = {}
        self.raised: list[str] = []
        self.cleared: list[str] = []

    def at(self, path: str) -> dict[str, tuple[int, int]]:
        return self.backends[path.partition("/")[0]]

    def run(self, command: Command) -> str:
        match command.text.split():
            case ["add", "server", path, _, "weight", weight, *_]:
                self.at(path)[_name(path)] = (int(weight), 1)
                return "New server registered."
            case ["set", "server", path, "weight", weight]:
                self.at(path)[_name(path)] = (int(weight), self.at(path)[_name(path)][1])
            case ["set", "server", path, "state", state]:
                bits = {"ready": 0, "drain": 8, "maint": 1}[state]
                self.at(path)[_name(path)] = (self.at(path)[_name(path)][0], bits)
            case ["set", "server", path, "health", "up"]:
                self.raised.append(path)
            case ["enable", "health", path]:
                assert _name(path) in self.at(path)
            case ["clear", "table", "fuses", "key", name]:
                self.cleared.append(name)
            case [verb, "map", _, key, *value]:
                return self._mapped(verb, key, *value)
            case _:
                raise AssertionError(command)
        return ""

    def _mapped(self, verb: str, key: str, value: str = "") -> str:
        if verb == "del":
            return "" if self.entries.pop(key, None) else "Key not found."
        if verb == "set" and key not in self.entries:
            return "entry not found."
        assert verb == "set" or key not in self.entries
        self.entries[key] = value
        return ""

    def present(self, route: Route) -> Present:
        asked = {question.rsplit(" ", 1)[1] for question in questions(MAPS, SLOT, route)[2:]}
        entries = {key: self.entries[key] for key in asked & set(self.entries)}
        return Present(dict(self.backends[SLOT]), entries, dict(self.backends[apart(SLOT)]))

    def pins(self, kind: str) -> list[str | None]:
        count = int(self.entries.get(f"s1.{kind}", "1"))
        return [self.entries.get(f"s1.{kind}.{number}") for number in range(count)]


def _name(path: str) -> str:
    return path.partition("/")[2]


def follow(slot: Slot, route: Route) -> None:
    for command in plan(MAPS, SLOT, route, slot.present(route), NOW):
        assert slot.run(command) in command.answers, command
        for kind, backend in (("pinned", SLOT), ("canary", apart(SLOT))):
            assert all(name is None or name in slot.backends[backend] for name in slot.pins(kind))


def route_of(places: Sequence[Place | None], share: float) -> Route:
    servers = tuple(
        Server(f"shop.{number}", f"unix:/{number}", place) for number, place in enumerate(places) if place
    )
    return Route("shop", 1, servers, share, 5.0 if share else 0.0)


ROUTES = st.builds(
    route_of,
    st.lists(st.sampled_from([None, *Place]), max_size=5),
    st.sampled_from([0.0, 0.0001, 0.1, 1.0]),
)


@settings(max_examples=150)
@given(st.lists(ROUTES, min_size=1, max_size=5))
def test_every_way_leads_to_the_route(routes: list[Route]) -> None:
    slot = Slot()
    for route in routes:
        follow(slot, route)
        wanted = {name_of(server): server for server in route.servers if server.place is not Place.DRAINING}
        for place in (Place.PINNED, Place.CANARY):
            names = [name for name, server in wanted.items() if server.place is place]
            assert slot.pins(place) == (names or [None])
        canary = any(server.place is Place.CANARY for server in wanted.values())
        stable = {name for name, server in wanted.items() if server.place is not Place.CANARY}
        for backend, here in ((SLOT, stable), (apart(SLOT), set(wanted) if canary else set())):
            assert here <= slot.backends[backend].keys()
            for name, (weight, admin) in slot.backends[backend].items():
                place = wanted[name].place if name in here else Place.DRAINING
                assert weight == {Place.PINNED: 256, Place.SPARE: 1}.get(place, 0)
                assert admin == (0 if name in here else 8)
        assert slot.entries["s1.share"] == str(round(route.share * 10_000))
        assert slot.entries.get("s1.until", "0") == ("1005000" if route.share else "0")
        # Only the removal of names beyond the count is said again.
        again = [command.text.split()[0] for command in plan(MAPS, SLOT, route, slot.present(route), NOW)]
        assert set(again) <= {"del"}


def test_a_cut_is_one_command_and_needs_no_entry() -> None:
    slot = Slot()
    command = cut(MAPS, SLOT, 0.0)
    assert command.text == "set map /m/numbers.map s1.share 0"
    assert slot.run(command) in command.answers


@pytest.mark.parametrize(("maps", "unit"), [(MAPS, 0.001), (OLD, 1.0)])
def test_a_lease_never_ends_late(maps: Maps, unit: float) -> None:
    """Early by less than a millisecond; by less than a second where HAProxy's configuration is older."""
    servers = (Server("shop.1", "unix:/1", Place.CANARY),)
    for now, lease in ((1000.0, 5.0), (1000.9, 5.0), (1000.1, 0.3)):
        route = Route("shop", 1, servers, 0.5, lease)
        texts = [command.text for command in plan(maps, SLOT, route, Present({}, {}), now)]
        until = next(int(text.split()[-1]) for text in texts if " s1.until " in text) * unit
        assert now + lease - unit - 1e-6 < until <= now + lease + 1e-6


def test_a_canary_is_put_back_once_for_each_number() -> None:
    slot = Slot()

    def raised(number: int) -> int:
        before = len(slot.raised)
        follow(slot, Route("shop", 1, (Server("shop.1", "unix:/1", Place.CANARY, raised=number),), 0.1, 5.0))
        return len(slot.raised) - before

    assert [raised(0), raised(0), raised(1), raised(1), raised(2), raised(2)] == [0, 0, 1, 0, 1, 0]
    assert slot.cleared == [_name(path) for path in slot.raised]
    for command in stop(MAPS, apart(SLOT), _name(slot.raised[0])):
        assert slot.run(command) in command.answers
    assert not any(".raised." in key for key in slot.entries)


def test_what_was_never_used_is_asked_little_and_told_little() -> None:
    route = Route("shop", 1, (Server("shop.1", "unix:/1", Place.PINNED),))
    assert len(first_questions(MAPS, SLOT)) == 3
    said = [command.text for command in plan(MAPS, SLOT, route, Present({}, {}, {}), NOW)]
    assert [text.split()[0] for text in said] == ["add", "enable", "set", "add", "add", "add", "add"]
    assert said[-1] == "add map /m/numbers.map s1.share 0", "it is the last: what has it was told whole"


def test_servers_of_grpc_and_tcp_are_spoken_to_in_their_way() -> None:
    servers = (Server("shop.1", "unix:/1", Place.PINNED, h2=True), Server("shop.2", "unix:/2", Place.CANARY))

    def added(tcp: bool) -> list[str]:
        route = Route("shop", 1, servers, tcp=tcp)
        said = [command.text for command in plan(MAPS, SLOT, route, Present({}, {}), NOW)]
        assert any(".retry." in text for text in said) is not tcp
        return [text for text in said if text.startswith("add server")]

    assert [" proto h2" in text for text in added(False)] == [True, False]
    assert ["observe layer7" in text for text in added(False)] == [False, True], "an older configuration"
    assert not any(" proto h2" in text for text in added(True))
    assert ["observe layer4" in text for text in added(True)] == [False, True]


def test_names_carry_what_cannot_change_in_place() -> None:
    pinned = Server("shop.1", "unix:/1", Place.PINNED)
    spare = Server("shop.1", "unix:/1", Place.SPARE)
    canary = Server("shop.1", "unix:/1", Place.CANARY)
    moved = Server("shop.1", "unix:/2", Place.PINNED)
    assert name_of(pinned) == name_of(spare)
    spoken = Server("shop.1", "unix:/1", Place.PINNED, h2=True)
    assert len({name_of(pinned), name_of(canary), name_of(moved), name_of(spoken)}) == 4
    assert {instance_of(name_of(server)) for server in (pinned, canary, moved)} == {"shop.1"}


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ("Can't find backend.", "type=str, found=no"),
        ("Unknown command: 'show'", "type=str, found=no"),
        ("", "type=str, found=no"),
        ("1\n# be_id be_name srv_name srv_uweight srv_admin_state\n", "Unknown map identifier."),
    ],
)
def test_an_unexpected_answer_is_refused(first: str, rest: str) -> None:
    route = Route("shop", 1)
    asked = questions(MAPS, SLOT, route)
    with pytest.raises(Refused):
        present(route, asked, [first, *([rest] * (len(asked) - 1))])
