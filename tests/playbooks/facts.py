"""How is an input written as one line of a story, and read back?

`12 InstanceExited shop.1 'signal 9'`. A time may be a range, `10..60`, and a number may grow by the
second, `30M+2M`: the line then stands for one input a second.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from noded.model.incident import Report, Site
from noded.model.inputs import (
    ActionFailed,
    ApplyRequested,
    Booted,
    CachesShrunk,
    CandidateProposed,
    CommandRequested,
    DiskFilled,
    DiskFreed,
    GarbageCollected,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceSilent,
    InstanceStarted,
    Known,
    MemoryProfiled,
    Observed,
    PolicyRead,
    Prepared,
    ProxyFound,
    ProxyLost,
    Reading,
    RegenerationFailed,
    RegistryRenewed,
    Sampled,
    TrafficCounted,
    Woken,
)
from noded.model.instance import Vitals
from noded.model.route import Traffic
from nodespec.manifest import NodeSpec
from tests.playbooks import hosts
from tests.playbooks.keys import KEYS, keys_of, spec_of
from tests.policy.build import HOST, MB, number_of, process, release_of

GROWING = re.compile(r"(\d+(?:\.\d+)?M?)\+(\d+(?:\.\d+)?M?)")


def node_of(instance: str) -> str:
    return instance.rpartition(".")[0] or instance


def size(text: str) -> int:
    return int(float(text.removesuffix("M")) * (MB if text.endswith("M") else 1))


def megabytes(count: int) -> str:
    return f"{count / MB:.6g}M"


def moment(at: float) -> str:
    return f"{at:.9g}"


@dataclass
class Desk:
    """Reads lines. What was applied before is known: a later apply names only what changes."""

    applied: dict[str, Mapping[str, str]] = field(default_factory=dict)
    specs: dict[tuple[str, str], NodeSpec] = field(default_factory=dict)

    def read(self, line: str) -> Iterator[Input]:
        times, _, rest = line.partition(" ")
        first, _, last = times.partition("..")
        begin, end = float(first), float(last or first)
        at = begin
        while at <= end:
            words = shlex.split(GROWING.sub(lambda m, s=at - begin: _grown(m, s), rest))  # type: ignore[misc]
            yield self._fact(at, words[0], words[1:])
            at += 1.0

    def _fact(self, at: float, kind: str, words: list[str]) -> Input:
        match kind:
            case "Booted":
                return self._booted(at, words)
            case "ApplyRequested":
                return self._applied(at, words)
            case "CandidateProposed":
                return self._proposed(at, words)
            case "Prepared":
                spec = self.specs[words[0], words[1]]
                return Prepared(at, words[0], release_of(spec).digest, *words[2:])
            case kind if kind in hosts.KINDS:
                return hosts.read(at, kind, words)
            case _:
                return _plain(at, kind, words)

    def _booted(self, at: float, words: list[str]) -> Booted:
        given = dict(word.split("=", 1) for word in words)
        alive = tuple(Observed(n, process(number_of(n))) for n in given.get("alive", "").split(",") if n)
        known = []
        for told in filter(None, given.get("known", "").split(",")):
            name, version, desired = told.split("/")
            spec = self.specs[name, version]
            known.append(Known(spec, release_of(spec), desired))
        return Booted(at, HOST, alive, tuple(known))

    def _applied(self, at: float, words: list[str]) -> ApplyRequested:
        name, version, *rest = words
        given = dict(word.split("=", 1) for word in rest if "=" in word)
        content, taken = given.pop("content", ""), given.pop("taken", "")
        spec = self._spec(name, version, given)
        return ApplyRequested(at, 1, spec, release_of(spec, content=content), taken, "plan" in rest)

    def _proposed(self, at: float, words: list[str]) -> CandidateProposed:
        incident, version, *rest = words
        name = incident.rpartition("-")[0]
        before = self.applied[name]
        spec = self._spec(name, version, dict(word.split("=", 1) for word in rest))
        self.applied[name] = before
        report = Report("candidate", "bounded", "boundcache", version, diff_lines=9)
        return CandidateProposed(at, name, incident, spec, release_of(spec, f"incident {incident}"), report)

    def _spec(self, name: str, version: str, given: Mapping[str, str]) -> NodeSpec:
        unknown = given.keys() - KEYS.keys()
        if unknown:
            raise ValueError(f"unknown key of {name}: {', '.join(sorted(unknown))}")
        keys = {**self.applied.get(name, {}), **given}
        self.applied[name] = keys
        spec = spec_of(name, version, keys)
        self.specs[name, version] = spec
        return spec


def _grown(match: re.Match[str], seconds: float) -> str:
    base, more = match.groups()
    unit = "M" if base.endswith("M") or more.endswith("M") else ""
    scale = MB if unit else 1
    return f"{(size(base) + size(more) * seconds) / scale:.9g}{unit}"


def _plain(at: float, kind: str, words: list[str]) -> Input:
    """Facts that need nothing but their own line."""
    name = words[0] if words else ""
    node = node_of(name)
    match kind:
        case "CommandRequested":
            return CommandRequested(at, 2, name, "" if words[1] == "-" else words[1], "uid 0")
        case "InstanceStarted":
            return InstanceStarted(at, node, name, process(number_of(name)))
        case "InstanceReady":
            return InstanceReady(at, node, name, "it said so")
        case "InstanceExited":
            return InstanceExited(at, node, name, words[1])
        case "Woken":
            return Woken(at, name)
        case "ActionFailed":
            instance = words[1] if "." in words[1] else ""
            return ActionFailed(at, name, node_of(words[1]), instance, words[2], words[3])
        case _:
            return _of_readings(at, kind, words)


def _of_readings(at: float, kind: str, words: list[str]) -> Input:
    match kind:
        case "Sampled":
            return Sampled(at, tuple(_reading(word) for word in words))
        case "TrafficCounted":
            return TrafficCounted(at, tuple(_traffic(word) for word in words))
        case "ProxyFound":
            return ProxyFound(at, words[0])
        case "ProxyLost":
            return ProxyLost(at, words[0])
        case _:
            return _of_healing(at, kind, words)


def _of_healing(at: float, kind: str, words: list[str]) -> Input:
    name, *rest = words
    match kind:
        case "GarbageCollected":
            return GarbageCollected(at, node_of(name), name, size(rest[0]), size(rest[1]), int(rest[2]))
        case "CachesShrunk":
            return CachesShrunk(at, node_of(name), name, size(rest[0]), size(rest[1]), rest[2])
        case "MemoryProfiled":
            return MemoryProfiled(at, node_of(name), name, tuple(_site(word) for word in rest))
        case "RegenerationFailed":
            node = name.rpartition("-")[0]
            return RegenerationFailed(at, node, name, Report("none", rest[0]))
        case _:
            raise ValueError(f"unknown kind of input: {kind}")


def _reading(word: str) -> Reading:
    name, _, used = word.partition("=")
    return Reading(name, node_of(name), Vitals(size(used)))


def _traffic(word: str) -> Traffic:
    name, _, counts = word.partition("=")
    asked, bad, *rest = counts.split("/")
    down = rest[-1:] == ["down"]
    sessions = int(rest[0]) if rest and rest[0] != "down" else 0
    return Traffic(name, int(float(asked)), int(float(bad)), sessions, not down)


def _site(word: str) -> Site:
    file, line, function, count, objects = word.split(":")
    return Site(file, int(line), function, size(count), int(objects))


# And the way back: how an input is told.


def told(fact: Input) -> str:
    """The line that stands for an input."""
    words = _words(fact)
    return shlex.join([moment(fact.at), type(fact).__name__, *words])


def _words(fact: Input) -> list[str]:
    match fact:
        case Booted():
            alive = ",".join(o.instance for o in fact.observed)
            known = ",".join(f"{k.spec.name}/{k.spec.version}/{k.desired}" for k in fact.known)
            return [f"{key}={value}" for key, value in (("alive", alive), ("known", known)) if value]
        case ApplyRequested():
            extra = [f"taken={fact.taken}"] if fact.taken else []
            extra += ["plan"] if fact.plan_only else []
            return [fact.spec.name, fact.release.version, *keys_of(fact.spec), *extra]
        case CommandRequested():
            return [fact.verb, fact.node or "-"]
        case Sampled():
            return [f"{r.instance}={megabytes(r.vitals.memory)}" for r in fact.readings]
        case TrafficCounted():
            return [_counted(count) for count in fact.counts]
        case ProxyFound():
            return [fact.generation]
        case ProxyLost():
            return [fact.cause]
        case InstanceSilent() | PolicyRead() | DiskFilled() | DiskFreed() | RegistryRenewed():
            return hosts.words_of(fact)
        case Prepared():
            return [fact.node, fact.digest[7:19], *([fact.problem] if fact.problem else [])]
        case _:
            return _words_of_node(fact)


def _words_of_node(
    fact: InstanceStarted
    | InstanceReady
    | InstanceExited
    | GarbageCollected
    | CachesShrunk
    | MemoryProfiled
    | CandidateProposed
    | RegenerationFailed
    | Woken
    | ActionFailed,
) -> list[str]:
    match fact:
        case InstanceStarted() | InstanceReady():
            return [fact.instance]
        case InstanceExited():
            return [fact.instance, fact.status]
        case Woken():
            return [fact.node]
        case ActionFailed():
            return [fact.action, fact.instance or fact.node, fact.kind, fact.cause]
        case _:
            return _words_of_healing(fact)


def _words_of_healing(
    fact: GarbageCollected | CachesShrunk | MemoryProfiled | CandidateProposed | RegenerationFailed,
) -> list[str]:
    match fact:
        case GarbageCollected():
            return [fact.instance, megabytes(fact.before), megabytes(fact.after), str(fact.objects)]
        case CachesShrunk():
            return [fact.instance, megabytes(fact.before), megabytes(fact.after), fact.detail]
        case MemoryProfiled():
            sites = [f"{s.file}:{s.line}:{s.function}:{megabytes(s.bytes)}:{s.count}" for s in fact.sites]
            return [fact.instance, *sites]
        case CandidateProposed():
            return [fact.incident, fact.release.version, *keys_of(fact.spec)]
        case RegenerationFailed():
            return [fact.incident, fact.report.reason]


def _counted(count: Traffic) -> str:
    rest = [str(count.sessions)] if count.sessions else []
    return "/".join(
        [f"{count.instance}={count.requests}", str(count.bad), *rest, *([] if count.up else ["down"])]
    )
