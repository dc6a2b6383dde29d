"""How is a fact said in one sentence?"""

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
    MemoryProfiled,
    MeshFound,
    MeshLost,
    PolicyRead,
    Prepared,
    ProxyFound,
    ProxyLost,
    RegenerationFailed,
    RegistryRenewed,
    Sampled,
    SignalsTold,
    TableTaken,
    TrafficCounted,
    Woken,
)


def words(fact: Input) -> str:
    match fact:
        case Booted():
            found = (
                f"{sum(o.running for o in fact.observed)} instances alive, {len(fact.known)} nodes on record"
            )
            return f"noded started and found {found}"
        case ApplyRequested():
            did = "asked for a plan of" if fact.plan_only else "applied"
            how = " with --force" * fact.force + " with --supersede" * fact.supersede
            return f"{fact.release.origin} {did} {fact.spec.name} {fact.release.version}{how}"
        case CommandRequested():
            how = " with --force" * fact.force
            return f"{fact.by} ordered {fact.verb} {fact.node or 'of the host'}{how}"
        case Sampled():
            return f"{len(fact.readings)} instances were read"
        case TrafficCounted() | SignalsTold() | ProxyFound() | ProxyLost():
            return _words_of_traffic(fact)
        case MeshFound() | MeshLost() | TableTaken():
            return _words_of_mesh(fact)
        case DiskFilled() | DiskFreed() | RegistryRenewed() | PolicyRead():
            return _words_of_host(fact)
        case _:
            return _words_of_node(fact)


def _words_of_traffic(fact: TrafficCounted | SignalsTold | ProxyFound | ProxyLost) -> str:
    match fact:
        case TrafficCounted():
            return f"requests of {len(fact.counts)} instances were counted"
        case SignalsTold():
            return f"{len(fact.answers)} instances and {len(fact.handled)} versions told of their work"
        case ProxyFound():
            return f"the proxy answers ({fact.generation})"
        case ProxyLost():
            return f"the proxy does not answer: {fact.cause}"


def _words_of_mesh(fact: MeshFound | MeshLost | TableTaken) -> str:
    match fact:
        case MeshFound():
            return f"the mesh answers ({fact.generation}) and holds table {fact.table}"
        case MeshLost():
            return f"the mesh does not answer: {fact.cause}"
        case TableTaken():
            return f"the mesh has taken table {fact.number}"


def _words_of_host(fact: DiskFilled | DiskFreed | RegistryRenewed | PolicyRead) -> str:
    match fact:
        case DiskFilled():
            return f"the disk is full: {fact.cause}" + ("" if fact.journaled else "; no decision is written")
        case DiskFreed():
            return "the disk has room again"
        case PolicyRead():
            held = "; PAUSE lies there: only keeping processes alive goes on" if fact.held else ""
            return f"policy.toml was read{held}"
        case RegistryRenewed():
            return f"the registry begins anew: {fact.cause}"


def _words_of_node(
    fact: InstanceStarted
    | InstanceReady
    | InstanceExited
    | InstanceSilent
    | Prepared
    | GarbageCollected
    | CachesShrunk
    | MemoryProfiled
    | CandidateProposed
    | RegenerationFailed
    | Woken
    | ActionFailed,
) -> str:
    match fact:
        case InstanceStarted():
            lacking = "".join(f"; {note}" for note in fact.degraded)
            return f"{fact.instance} runs as pid {fact.process.pid}, uid {fact.process.uid}{lacking}"
        case InstanceReady():
            return f"{fact.instance} is ready ({fact.told_by})"
        case InstanceExited():
            return f"{fact.instance} exited: {fact.status}"
        case InstanceSilent():
            silence = fact.silence
            return f"{fact.instance} gives no sign of life for {silence.seconds:.1f} s ({silence.asked})"
        case Prepared():
            return f"{fact.node}: {fact.problem or 'the commands that come before ended well'}"
        case Woken():
            return f"{fact.node} is due"
        case ActionFailed():
            return f"{fact.action} failed ({fact.kind}): {fact.cause}"
        case _:
            return _words_of_healing(fact)


def _words_of_healing(
    fact: GarbageCollected | CachesShrunk | MemoryProfiled | CandidateProposed | RegenerationFailed,
) -> str:
    match fact:
        case GarbageCollected():
            freed = _freed(fact.before, fact.after)
            return f"{fact.instance} collected garbage: {freed}, {fact.objects} objects"
        case CachesShrunk():
            return f"{fact.instance} shrank its caches: {_freed(fact.before, fact.after)}; {fact.detail}"
        case MemoryProfiled():
            return f"{fact.instance} named {len(fact.sites)} lines that hold more memory than before"
        case CandidateProposed():
            return f"{fact.incident}: {fact.report.generator} proposed {fact.release.version}"
        case RegenerationFailed():
            return f"{fact.incident}: no candidate: {fact.report.reason}"


def _freed(before: int, after: int) -> str:
    return f"{before / 1_048_576:.1f} -> {after / 1_048_576:.1f} MiB"
