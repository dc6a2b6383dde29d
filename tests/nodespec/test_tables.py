"""Does any nest of dataclasses get its values from TOML, or every mistake at once?"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from nodespec.tables import ManifestError, Mistake, decode, read, shown
from nodespec.units import Port, Seconds, Size


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Plain:
    """Knows nothing of forms; the reader is given them."""

    period: float = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    port: Port
    backlog: int = 16


@dataclass(frozen=True, slots=True)
class Limits:
    low: Size = 0
    high: Size = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@dataclass(frozen=True, slots=True)
class Settings:
    state: str
    wait: Seconds = 5.0
    debug: bool = False
    level: Level = Level.LOW
    users: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = ()
    limits: Limits = field(default_factory=Limits)
    probe: Plain | None = None


FORMS = {Plain: {"period": Seconds}}
LATER = ("cluster", "listeners.tls", "level=huge")


def settings(text: str) -> Settings:
    return read(text, "noded.toml", Settings, later=LATER, forms=FORMS)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        settings(text)
    assert str(refused.value).splitlines() == [f"noded.toml: {mistake}" for mistake in refused.value.mistakes]
    return [str(mistake) for mistake in refused.value.mistakes]


def test_reads_every_kind_of_field() -> None:
    got = settings("""
        state = "/var/lib/noded"
        wait = "2m"
        debug = true
        level = "high"
        users = ["a", "b"]
        limits = { low = "1K", high = 2048 }
        [probe]
        period = "250ms"
        [[listeners]]
        port = 80
        [[listeners]]
        port = 81
        backlog = 1
    """)
    assert got == Settings(
        state="/var/lib/noded",
        wait=120.0,
        debug=True,
        level=Level.HIGH,
        users=("a", "b"),
        listeners=(Listener(80), Listener(81, 1)),
        limits=Limits(1024, 2048),
        probe=Plain(0.25),
    )
    assert type(got.level) is Level


def test_what_is_not_written_is_the_dataclass_default() -> None:
    assert settings('state = "x"') == Settings("x")


def test_every_mistake_is_told_at_once() -> None:
    got = mistakes("""
        wait = "soon"
        debug = 1
        level = "huge"
        users = ["a", 3]
        usres = []
        backlog = 1
        cluster = {}
        limits = { low = 5, high = 2 }
        [probe]
        period = -1
        [[listeners]]
        prot = 80
        tls = true
    """)
    duration = 'a duration such as "30s", "500ms", "5m" or "1h"'
    assert sorted(got) == sorted([
        "state: expected a string of at most 4096 characters, got nothing",
        f'wait: expected {duration}, got "soon"',
        "debug: expected true or false, got 1",
        'level: "huge" is not yet supported',
        "users[1]: expected a string of at most 4096 characters, got 3",
        "usres: unknown key; nearest known key: users",
        "backlog: unknown key; nearest known key: listeners.backlog",
        "cluster: not yet supported",
        "limits: low is above high",
        f"probe.period: expected {duration}, got -1",
        "listeners[0].port: expected a port number from 1 to 65535, got nothing",
        "listeners[0].prot: unknown key; nearest known key: listeners[0].port",
        "listeners[0].tls: not yet supported",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('state = "x"\nlisteners = 3', "listeners: expected a list, got 3"),
        ('state = "x"\nlisteners = "ab"', 'listeners: expected a list, got "ab"'),
        ('state = "x"\nlisteners = [3]', "listeners[0]: expected a table, got 3"),
        ('state = "x"\nlimits = [1, 2]', "limits: expected a table, got [1, 2]"),
        ('state = 2024-01-01', "state: expected a string of at most 4096 characters, got 2024-01-01"),
        ('state = "x"\nlevel = "mid"', 'level: expected one of low, high, got "mid"'),
        ('state = "x"\nzzzzzz = 1', "zzzzzz: unknown key; known keys here: state, wait, debug, level, users, "
         "listeners, limits, probe"),
        ('state = "x"\n"[key]" = 1', None),
        ('state = "x"\n"a\\u001b[31m" = 1', None),
    ],
)  # fmt: skip
def test_one_mistake(text: str, expected: str | None) -> None:
    (got,) = mistakes(text)
    assert got == expected or expected is None
    assert got.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = [1,\nb", "line 2, column 1: not valid TOML: "),
        ("a = 1\na = 2", "line 2: not valid TOML: Cannot overwrite a value"),
        ("\n\na = [", "line 3: not valid TOML: "),
        ("a = " + "[" * 30000, "not valid TOML: nested too deep"),
        ("a = " + "1" * 5000, "not valid TOML: a number of too many digits"),
        ("a = '" + "x" * 70000 + "'", "longer than 64 KiB"),
        ("a = '" + "ä" * 40000 + "'", "longer than 64 KiB"),
    ],
)
def test_text_that_is_no_toml(text: str, expected: str) -> None:
    (got,) = mistakes(text)
    assert got.startswith(expected)


def test_thousands_of_mistakes_stay_readable() -> None:
    got = mistakes("\n".join(f"key{count} = 1" for count in range(4000)))
    assert len(got) == 101
    assert got[-1] == "and 3901 more mistakes"


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ManifestError, match=r"^x\.toml: line 2: not UTF-8 text$"):
        decode(b"a = 1\nb = '\xff'", "x.toml")
    with pytest.raises(ManifestError, match=r"^x\.toml: longer than 64 KiB$"):
        decode(b"#" * 70000, "x.toml")
    assert decode("ä".encode(), "x.toml") == "ä"


def test_a_field_without_a_form_is_a_mistake_of_the_program() -> None:
    @dataclass(frozen=True)
    class Odd:
        place: Path

    with pytest.raises(TypeError, match=r"no text form is known for .*Path"):
        read("", "x", Odd)


def test_a_mistake_is_one_short_printable_line() -> None:
    assert shown("\x1b[31m" + "a" * 5000).isprintable()
    assert len(shown("a" * 5000)) <= 80
    assert len(shown([["x"] * 100] * 100)) <= 80
    assert str(Mistake("a.b", "one", "2", "try 1")) == "a.b: expected one, got 2; try 1"
    assert str(Mistake("", hint="gone")) == "gone"
