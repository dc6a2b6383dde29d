"""What would a release break of what is here: contracts, owners, ports, time limits, memory?

Only what the release changes is asked about: what stands between running versions already was decided before.
"""

from collections.abc import Iterable, Iterator

from noded.model.conflict import IMPOSSIBLE, Conflict, Kind
from noded.model.inputs import ApplyRequested
from noded.model.release import Release
from noded.model.state import Desired, HostState, NodeState
from noded.policy import capacity, events
from noded.policy.contracts import Answer, compare
from noded.policy.schemas import Meter
from nodespec.manifest import Consumes, NodeSpec, Protocol, Publishes, Serves

Live = tuple[NodeSpec, Release]
MOST = 50
"""Conflicts that are told of one release."""
LONGEST = 3000
"""Characters of a refusal: gRPC carries it in a header."""
NO_FORCE = "--force does not help"


def found(state: HostState, node: NodeState | None, fact: ApplyRequested) -> tuple[Conflict, ...]:
    """What is impossible first."""
    checks = (_ports, _owners, _contracts, _orphans, _time_limits, _memory)
    return tuple(conflict for check in checks for conflict in check(state, node, fact))[:MOST]


def stopped(fact: ApplyRequested, conflicts: tuple[Conflict, ...]) -> str:
    """Why the release is not taken; empty when it is."""
    what = f"{fact.spec.name} {fact.release.version}"
    stopping = [c for c in conflicts if c.kind is not Kind.WARNING]
    if fact.force:
        stopping = [c for c in stopping if c.kind in IMPOSSIBLE]
    lines = [f"  {_line(conflict)}" for conflict in stopping]
    if len(stopping) == 1:
        return _cut(f"{stopping[0].text}: {stopping[0].advice}")
    if stopping:
        return _cut("\n".join((f"{what} conflicts with what is here:", *lines)))
    if fact.lost and not fact.supersede:
        head = f"{what} lacks the machine-written change of the release that runs; --supersede gives it up:"
        return _cut(f"{head}\n{fact.lost}")
    return ""


def forced(fact: ApplyRequested, conflicts: tuple[Conflict, ...]) -> str:
    """What a person knew of and went on; empty when nothing stood in the way."""
    known = [_line(conflict) for conflict in conflicts if conflict.kind is not Kind.WARNING]
    if fact.lost:
        known.append("superseded: the machine-written change of the release before is given up")
    return _cut("; ".join(known))


def _line(conflict: Conflict) -> str:
    where = " ".join(filter(None, (conflict.node, conflict.release)))
    return f"{conflict.kind}: {where}, {conflict.field}: {conflict.text}: {conflict.advice}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n... (nodectl plan shows all)"


def _others(state: HostState, fact: ApplyRequested, leaving: bool = False) -> Iterator[Live]:
    """Versions of other nodes that may run; also of those that are on their way out, if asked."""
    for other in state.nodes.values():
        if other.name != fact.spec.name and (leaving or other.desired is not Desired.REMOVED):
            yield from events.versions(other)


# Ports and owners


def _ports(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    told: set[str] = set()
    for spec, release in _others(state, fact, leaving=True):
        if fact.spec.serves is None or spec.serves is None or spec.serves.port != fact.spec.serves.port:
            continue
        text = _crowded(fact.spec, fact.spec.serves, spec, spec.serves)
        if text and spec.name not in told:
            told.add(spec.name)
            advice = f"choose another in [serves]; {NO_FORCE}"
            yield Conflict(Kind.PORT, spec.name, release.version, "serves.port", text, advice)


def _crowded(new: NodeSpec, serves: Serves, other: NodeSpec, held: Serves) -> str:
    """Why two nodes cannot share their port; empty when they can."""
    port, readable = serves.port, (Protocol.HTTP, Protocol.GRPC)
    if serves.protocol is not held.protocol and {serves.protocol, held.protocol} <= {*readable}:
        return f"port {port} speaks {held.protocol} for {other.name}, and a port has one protocol"
    shared = new.proxied and other.proxied and serves.protocol in readable and held.protocol in readable
    if not shared or not (serves.hosts or held.hosts):
        return f"port {port} belongs to {other.name}"
    both = [name for name in serves.hosts if name in held.hosts]
    return f"{both[0]} at port {port} belongs to {other.name}" if both else ""


def _owners(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    """Of each type one node says what it means: two owners could have two contracts for it."""
    wanted = {publishes.type for publishes in fact.spec.publishes}
    for spec, release in _others(state, fact, leaving=True) if wanted else ():
        for taken in spec.publishes:
            if taken.type in wanted:
                wanted.discard(taken.type)
                text = f"{taken.type} is published by {spec.name} {release.version}"
                advice = f"take it out of [[publishes]], or remove {spec.name}; {NO_FORCE}"
                yield Conflict(Kind.OWNER, spec.name, release.version, taken.type, text, advice)


# Contracts


def _contracts(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    contracts = _Contracts(fact)
    new, own = (fact.spec, fact.release), events.versions(node) if node is not None else ()
    others = (*_others(state, fact), *own)
    for published in fact.spec.publishes:
        if not any(contracts.same(new, published, old, p) for old in own for p in old[0].publishes):
            for live, consumed in _consumers((*others, new), published.type):
                yield from contracts.pair(new, published, live, consumed)
    for wanted in fact.spec.consumes:
        if not any(contracts.same(new, wanted, old, c) for old in own for c in old[0].consumes):
            for live, sent in _producers(others, wanted.type):
                yield from contracts.pair(live, sent, new, wanted)


def _consumers(lives: Iterable[Live], type_: str) -> Iterator[tuple[Live, Consumes]]:
    return ((live, c) for live in lives for c in live[0].consumes if c.type == type_)


def _producers(lives: Iterable[Live], type_: str) -> Iterator[tuple[Live, Publishes]]:
    return ((live, p) for live in lives for p in live[0].publishes if p.type == type_)


class _Contracts:
    def __init__(self, fact: ApplyRequested) -> None:
        self._new = fact.release
        self._texts = {(schema.digest, schema.path): schema.text for schema in fact.schemas}
        self._meter = Meter()

    def _text(self, live: Live, table: Publishes | Consumes) -> str | None:
        """Empty for a contract that says nothing; None when it cannot be read here."""
        return self._texts.get((live[1].digest, table.schema)) if table.schema else ""

    def same(self, live: Live, table: Publishes | Consumes, old: Live, before: Publishes | Consumes) -> bool:
        """Whether the contract of a type is the one that runs already."""
        text = self._text(live, table)
        return table.type == before.type and text is not None and text == self._text(old, before)

    def pair(self, sender: Live, published: Publishes, taker: Live, consumed: Consumes) -> Iterator[Conflict]:
        if not consumed.schema:
            return
        is_sender = sender[1] == self._new
        other = taker if is_sender else sender
        name, version, type_ = other[0].name, other[1].version, published.type
        sent, wanted = self._text(sender, published), self._text(taker, consumed)
        if not sent or not wanted:
            text, advice = _unreadable(sender, published, sent, taker)
            yield Conflict(Kind.UNKNOWN, name, version, type_, text, advice)
            return
        who = f"what {sender[0].name} {sender[1].version} sends to {taker[0].name} {taker[1].version}"
        for finding in compare(sent, wanted, self._meter):
            broken = finding.answer is Answer.BREAKS
            advice = _advice(is_sender, name, version) if broken else "compare the two schemas yourself"
            kind = Kind.CONTRACT if broken else Kind.UNKNOWN
            yield Conflict(kind, name, version, f"{type_} {finding.path}", f"{who} {finding.why}", advice)


def _unreadable(sender: Live, published: Publishes, sent: str | None, taker: Live) -> tuple[str, str]:
    producer, consumer = f"{sender[0].name} {sender[1].version}", f"{taker[0].name} {taker[1].version}"
    if not published.schema:
        text = f"{producer} publishes it without a schema, so nothing says that {consumer} can take it"
        return text, f"give it a schema in [[publishes]] of {sender[0].name}"
    which = producer if sent is None else consumer
    return f"the schema of {which} could not be read to compare it", "compare the two schemas yourself"


def _advice(is_sender: bool, name: str, version: str) -> str:
    if is_sender:
        return f"let {name} take it first, keep it as it was, or publish it as another type"
    return f"take what {name} {version} may send, or let {name} narrow its contract first"


def _orphans(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    others = tuple(_others(state, fact))
    sent = {p.type for spec, _ in (*others, (fact.spec, fact.release)) for p in spec.publishes}
    dropped = {p.type for p in node.spec.publishes} - sent if node is not None else set()
    for spec, release in others:
        for consumed in spec.consumes:
            if consumed.type in dropped:
                text = (
                    f"{spec.name} {release.version} consumes {consumed.type}, which nobody publishes any more"
                )
                advice = f"release {spec.name} without it first, or go on publishing it"
                yield Conflict(Kind.ORPHAN, spec.name, release.version, consumed.type, text, advice)
    known = {c.type for c in node.spec.consumes} if node is not None else set()
    for consumed in fact.spec.consumes:
        if consumed.type not in sent and (consumed.type not in known or consumed.type in dropped):
            text = f"nobody on this host publishes {consumed.type}"
            advice = "see that it is the right name; its publisher may come later, or be on another host"
            yield Conflict(Kind.WARNING, "", "", consumed.type, text, advice)


# Time and memory


def _time_limits(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    before, promised = node.spec if node is not None else None, fact.spec.objectives.latency_p99
    kept = {call.node: call.timeout for call in before.calls} if before else {}
    wanted = {c.node: c.timeout for c in fact.spec.calls if c.timeout < kept.get(c.node, c.timeout + 1)}
    is_slower = before is None or promised > before.objectives.latency_p99
    for spec, release in _others(state, fact):
        slowest = spec.objectives.latency_p99
        if slowest > wanted.get(spec.name, slowest):
            text = f"{fact.spec.name} {fact.release.version} waits {wanted[spec.name]:g} s for {spec.name} "
            text += f"{release.version}, which promises 99 of 100 answers within {slowest:g} s only"
            advice = f"wait longer, or let {spec.name} promise more"
            yield Conflict(Kind.TIME_LIMIT, spec.name, release.version, "calls.timeout", text, advice)
        for call in spec.calls:
            if is_slower and call.node == fact.spec.name and call.timeout < promised:
                text = f"{spec.name} {release.version} waits {call.timeout:g} s for an answer, and "
                text += f"{fact.spec.name} {fact.release.version} promises one within {promised:g} s only"
                advice = f"let {spec.name} wait longer first, or promise more"
                field = "objectives.latency_p99"
                yield Conflict(Kind.TIME_LIMIT, spec.name, release.version, field, text, advice)


def _memory(state: HostState, node: NodeState | None, fact: ApplyRequested) -> Iterator[Conflict]:
    text, _, advice = capacity.refusal(state, fact.spec).partition("; ")
    if text:
        name, version = fact.spec.name, fact.release.version
        yield Conflict(Kind.RESOURCES, name, version, "resources.memory", text, advice)
