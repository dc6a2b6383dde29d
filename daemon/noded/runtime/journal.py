"""What is written down, and how does noded remember after a restart?

The ring holds every input and action word for word, in segments that begin with the whole state:
any segment can be replayed alone. The chronicle holds what a person wants to read.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from noded.model.actions import ROUTINE, Action, Answer, Note
from noded.model.inputs import (
    ApplyRequested,
    Input,
    InstanceSilent,
    Sampled,
    SignalsTold,
    TableTaken,
    TrafficCounted,
    Woken,
)
from noded.model.state import HostState
from noded.ports import Chronicle, Entry, Ring
from noded.runtime import codec
from noded.runtime.words import words

INPUT, ACTION = "I", "A"
SEGMENT_SECONDS = 600.0
QUIET = (Sampled, TrafficCounted, SignalsTold, TableTaken, Woken, InstanceSilent)
"""Inputs that alone are no news; the chronicle names them through the decisions they led to."""


class Journal:
    def __init__(self, ring: Ring, chronicle: Chronicle, build: str) -> None:
        self._ring = ring
        self._chronicle = chronicle
        self._build = build
        self._began: float | None = None
        self._entries: list[Entry] = []
        self._clean = True
        """Nothing was noted since the last write: only then a segment may begin."""

    def note(self, before: HostState, fact: Input, actions: Sequence[Action]) -> None:
        """Record one decision; `before` is the state it was taken in. On disk with `flush` or `sync`."""
        ended = self._began is None or self._ring.full() or fact.at - self._began > SEGMENT_SECONDS
        if ended and self._clean:
            self._ring.rotate(header(self._build, fact.at, before))
            self._began = fact.at
        self._clean = False
        self._ring.append(f"{INPUT} {codec.dump_tagged(fact)}")
        for action in actions:
            self._ring.append(f"{ACTION} {codec.dump_tagged(action)}")
        self._entries += _entries(fact, actions)

    def flush(self) -> None:
        self._ring.flush()
        self._written()

    async def sync(self) -> None:
        await self._ring.sync()
        self._written()

    def lost(self) -> None:
        """What was noted since the last write is not on disk, and none of it was done: forget it.

        The next note begins a new segment, so that every segment replays.
        """
        self._began, self._clean = None, True
        self._entries.clear()

    def told(self, fact: Input, actions: Sequence[Action]) -> None:
        """For people alone, when the ring takes nothing."""
        self._chronicle.add(tuple(_entries(fact, actions)))

    def _written(self) -> None:
        self._clean = True
        if self._entries:
            self._chronicle.add(tuple(self._entries))
            self._entries.clear()


@dataclass(frozen=True, slots=True)
class Segment:
    build: str
    at: float
    state: HostState
    lines: tuple[str, ...]

    def until_damage(self) -> "Segment":
        """Without the first line that cannot be read and all after it."""
        for number, line in enumerate(self.lines):
            try:
                codec.load_tagged(Input if line[:1] == INPUT else Action, line[2:])
            except (ValueError, KeyError, TypeError, RecursionError):
                return replace(self, lines=self.lines[:number])
        return self

    @property
    def last_at(self) -> float:
        """Time of the last input."""
        last = next((line for line in reversed(self.lines) if line[:1] == INPUT), None)
        return float(json.loads(last[2:])[1]["at"]) if last else self.at


def header(build: str, at: float, state: HostState) -> str:
    return f'{{"build":{json.dumps(build)},"at":{json.dumps(at)},"state":{codec.dump(state)}}}'


def read_segment(text: str) -> Segment:
    """Raises ValueError when the header is not whole. A last line without its end is left out."""
    first, _, rest = text.partition("\n")
    try:
        head = json.loads(first)
        state = codec.load(HostState, json.dumps(head["state"]))
        build, at = str(head["build"]), float(head["at"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"the segment does not begin with a whole snapshot: {error}") from error
    lines = rest.split("\n")[:-1]
    return Segment(build, at, state, tuple(lines))


def _entries(fact: Input, actions: Sequence[Action]) -> Iterator[Entry]:
    node = fact.spec.name if isinstance(fact, ApplyRequested) else getattr(fact, "node", "")
    if not isinstance(fact, QUIET):
        incident = getattr(fact, "incident", "")
        yield Entry(fact.at, node, incident, "input", type(fact).__name__, words(fact), codec.dump(fact))
    for action in actions:
        if isinstance(action, ROUTINE) and not (isinstance(action, Answer) and action.reason):
            continue
        subject = action.subject if isinstance(action, Note) else getattr(action, "incident", "")
        name = "Conclusion" if isinstance(action, Note) else type(action).__name__
        yield Entry(fact.at, action.node, subject, "action", name, action.reason, codec.dump(action))
