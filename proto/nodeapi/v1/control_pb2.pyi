from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_NONE: _ClassVar[Effect]
    EFFECT_CREATE: _ClassVar[Effect]
    EFFECT_ROLLOUT: _ClassVar[Effect]
    EFFECT_REPLACE: _ClassVar[Effect]

class Verb(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERB_UNSPECIFIED: _ClassVar[Verb]
    VERB_START: _ClassVar[Verb]
    VERB_STOP: _ClassVar[Verb]
    VERB_RESTART: _ClassVar[Verb]
    VERB_REMOVE: _ClassVar[Verb]
    VERB_PAUSE: _ClassVar[Verb]
    VERB_RESUME: _ClassVar[Verb]
    VERB_ABORT: _ClassVar[Verb]
    VERB_PROMOTE: _ClassVar[Verb]
    VERB_FINISH: _ClassVar[Verb]
    VERB_APPROVE: _ClassVar[Verb]
    VERB_RELOAD: _ClassVar[Verb]
    VERB_HOLD: _ClassVar[Verb]
    VERB_CONTINUE: _ClassVar[Verb]
    VERB_RETRY: _ClassVar[Verb]
    VERB_ROLLBACK: _ClassVar[Verb]
EFFECT_UNSPECIFIED: Effect
EFFECT_NONE: Effect
EFFECT_CREATE: Effect
EFFECT_ROLLOUT: Effect
EFFECT_REPLACE: Effect
VERB_UNSPECIFIED: Verb
VERB_START: Verb
VERB_STOP: Verb
VERB_RESTART: Verb
VERB_REMOVE: Verb
VERB_PAUSE: Verb
VERB_RESUME: Verb
VERB_ABORT: Verb
VERB_PROMOTE: Verb
VERB_FINISH: Verb
VERB_APPROVE: Verb
VERB_RELOAD: Verb
VERB_HOLD: Verb
VERB_CONTINUE: Verb
VERB_RETRY: Verb
VERB_ROLLBACK: Verb

class ApplyRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: ApplyHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[ApplyHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ApplyHeader(_message.Message):
    __slots__ = ("plan_only", "size", "force", "supersede")
    PLAN_ONLY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    plan_only: bool
    size: int
    force: bool
    supersede: bool
    def __init__(self, plan_only: _Optional[bool] = ..., size: _Optional[int] = ..., force: _Optional[bool] = ..., supersede: _Optional[bool] = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("node", "effect", "from_version", "to_version", "digest", "changes", "peak_memory", "text", "conflicts", "lost")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    node: str
    effect: Effect
    from_version: str
    to_version: str
    digest: str
    changes: _containers.RepeatedCompositeFieldContainer[KeyChange]
    peak_memory: int
    text: str
    conflicts: _containers.RepeatedCompositeFieldContainer[Conflict]
    lost: str
    def __init__(self, node: _Optional[str] = ..., effect: _Optional[_Union[Effect, str]] = ..., from_version: _Optional[str] = ..., to_version: _Optional[str] = ..., digest: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[KeyChange, _Mapping]]] = ..., peak_memory: _Optional[int] = ..., text: _Optional[str] = ..., conflicts: _Optional[_Iterable[_Union[Conflict, _Mapping]]] = ..., lost: _Optional[str] = ...) -> None: ...

class Conflict(_message.Message):
    __slots__ = ("kind", "node", "release", "field", "text", "advice")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    node: str
    release: str
    field: str
    text: str
    advice: str
    def __init__(self, kind: _Optional[str] = ..., node: _Optional[str] = ..., release: _Optional[str] = ..., field: _Optional[str] = ..., text: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class KeyChange(_message.Message):
    __slots__ = ("key", "before", "after")
    KEY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    key: str
    before: str
    after: str
    def __init__(self, key: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class CommandRequest(_message.Message):
    __slots__ = ("verb", "node", "version", "force")
    VERB_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    verb: Verb
    node: str
    version: str
    force: bool
    def __init__(self, verb: _Optional[_Union[Verb, str]] = ..., node: _Optional[str] = ..., version: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class CommandResponse(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("host", "nodes")
    HOST_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    host: HostStatus
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    def __init__(self, host: _Optional[_Union[HostStatus, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class WatchStatusResponse(_message.Message):
    __slots__ = ("host", "nodes")
    HOST_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    host: HostStatus
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    def __init__(self, host: _Optional[_Union[HostStatus, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ...) -> None: ...

class HostStatus(_message.Message):
    __slots__ = ("name", "version", "paused", "cgroups", "degraded", "proxy_up", "launcher_up", "started_at", "memory", "cores", "pressure", "paused_by", "alarms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CGROUPS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    PROXY_UP_FIELD_NUMBER: _ClassVar[int]
    LAUNCHER_UP_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    PRESSURE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    paused: bool
    cgroups: str
    degraded: _containers.RepeatedScalarFieldContainer[str]
    proxy_up: bool
    launcher_up: bool
    started_at: float
    memory: int
    cores: int
    pressure: Pressure
    paused_by: str
    alarms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., paused: _Optional[bool] = ..., cgroups: _Optional[str] = ..., degraded: _Optional[_Iterable[str]] = ..., proxy_up: _Optional[bool] = ..., launcher_up: _Optional[bool] = ..., started_at: _Optional[float] = ..., memory: _Optional[int] = ..., cores: _Optional[int] = ..., pressure: _Optional[_Union[Pressure, _Mapping]] = ..., paused_by: _Optional[str] = ..., alarms: _Optional[_Iterable[str]] = ...) -> None: ...

class Pressure(_message.Message):
    __slots__ = ("cpu", "memory", "io")
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    IO_FIELD_NUMBER: _ClassVar[int]
    cpu: float
    memory: float
    io: float
    def __init__(self, cpu: _Optional[float] = ..., memory: _Optional[float] = ..., io: _Optional[float] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("name", "version", "digest", "condition", "detail", "paused", "port", "instances", "rollout", "past_rollouts", "incident", "past_incidents", "restarts", "memory_limit", "manifest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    PAST_ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    PAST_INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    condition: str
    detail: str
    paused: bool
    port: int
    instances: _containers.RepeatedCompositeFieldContainer[InstanceStatus]
    rollout: RolloutStatus
    past_rollouts: _containers.RepeatedCompositeFieldContainer[RolloutStatus]
    incident: IncidentStatus
    past_incidents: _containers.RepeatedCompositeFieldContainer[IncidentStatus]
    restarts: int
    memory_limit: int
    manifest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., condition: _Optional[str] = ..., detail: _Optional[str] = ..., paused: _Optional[bool] = ..., port: _Optional[int] = ..., instances: _Optional[_Iterable[_Union[InstanceStatus, _Mapping]]] = ..., rollout: _Optional[_Union[RolloutStatus, _Mapping]] = ..., past_rollouts: _Optional[_Iterable[_Union[RolloutStatus, _Mapping]]] = ..., incident: _Optional[_Union[IncidentStatus, _Mapping]] = ..., past_incidents: _Optional[_Iterable[_Union[IncidentStatus, _Mapping]]] = ..., restarts: _Optional[int] = ..., memory_limit: _Optional[int] = ..., manifest: _Optional[str] = ...) -> None: ...

class InstanceStatus(_message.Message):
    __slots__ = ("id", "version", "role", "phase", "pid", "started_at", "memory", "cpu_share", "loop_lag", "requests", "bad", "fds", "threads")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    CPU_SHARE_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BAD_FIELD_NUMBER: _ClassVar[int]
    FDS_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    role: str
    phase: str
    pid: int
    started_at: float
    memory: int
    cpu_share: float
    loop_lag: float
    requests: int
    bad: int
    fds: int
    threads: int
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., role: _Optional[str] = ..., phase: _Optional[str] = ..., pid: _Optional[int] = ..., started_at: _Optional[float] = ..., memory: _Optional[int] = ..., cpu_share: _Optional[float] = ..., loop_lag: _Optional[float] = ..., requests: _Optional[int] = ..., bad: _Optional[int] = ..., fds: _Optional[int] = ..., threads: _Optional[int] = ...) -> None: ...

class RolloutStatus(_message.Message):
    __slots__ = ("id", "from_version", "to_version", "phase", "share", "steps", "step", "started_at", "ended_at", "canary_requests", "canary_bad", "stable_requests", "stable_bad", "rollback_evidence", "promotion_evidence", "requests_needed", "reason", "origin", "done", "dwell_left", "held", "frozen", "signals", "history", "forced", "digest", "versions")
    ID_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    CANARY_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CANARY_BAD_FIELD_NUMBER: _ClassVar[int]
    STABLE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    STABLE_BAD_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_NEEDED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    DWELL_LEFT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    from_version: str
    to_version: str
    phase: str
    share: float
    steps: _containers.RepeatedScalarFieldContainer[float]
    step: int
    started_at: float
    ended_at: float
    canary_requests: int
    canary_bad: int
    stable_requests: int
    stable_bad: int
    rollback_evidence: float
    promotion_evidence: float
    requests_needed: int
    reason: str
    origin: str
    done: _containers.RepeatedCompositeFieldContainer[StepStatus]
    dwell_left: float
    held: bool
    frozen: str
    signals: _containers.RepeatedCompositeFieldContainer[SignalStatus]
    history: _containers.RepeatedCompositeFieldContainer[TransitionStatus]
    forced: str
    digest: str
    versions: _containers.RepeatedCompositeFieldContainer[VersionStatus]
    def __init__(self, id: _Optional[str] = ..., from_version: _Optional[str] = ..., to_version: _Optional[str] = ..., phase: _Optional[str] = ..., share: _Optional[float] = ..., steps: _Optional[_Iterable[float]] = ..., step: _Optional[int] = ..., started_at: _Optional[float] = ..., ended_at: _Optional[float] = ..., canary_requests: _Optional[int] = ..., canary_bad: _Optional[int] = ..., stable_requests: _Optional[int] = ..., stable_bad: _Optional[int] = ..., rollback_evidence: _Optional[float] = ..., promotion_evidence: _Optional[float] = ..., requests_needed: _Optional[int] = ..., reason: _Optional[str] = ..., origin: _Optional[str] = ..., done: _Optional[_Iterable[_Union[StepStatus, _Mapping]]] = ..., dwell_left: _Optional[float] = ..., held: _Optional[bool] = ..., frozen: _Optional[str] = ..., signals: _Optional[_Iterable[_Union[SignalStatus, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[TransitionStatus, _Mapping]]] = ..., forced: _Optional[str] = ..., digest: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[VersionStatus, _Mapping]]] = ...) -> None: ...

class SignalStatus(_message.Message):
    __slots__ = ("signal", "canary", "canary_bad", "stable", "stable_bad", "evidence", "weight", "limit")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    CANARY_BAD_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    STABLE_BAD_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    signal: str
    canary: int
    canary_bad: int
    stable: int
    stable_bad: int
    evidence: float
    weight: float
    limit: float
    def __init__(self, signal: _Optional[str] = ..., canary: _Optional[int] = ..., canary_bad: _Optional[int] = ..., stable: _Optional[int] = ..., stable_bad: _Optional[int] = ..., evidence: _Optional[float] = ..., weight: _Optional[float] = ..., limit: _Optional[float] = ...) -> None: ...

class TransitionStatus(_message.Message):
    __slots__ = ("at", "phase", "share", "reason", "by")
    AT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    at: float
    phase: str
    share: float
    reason: str
    by: str
    def __init__(self, at: _Optional[float] = ..., phase: _Optional[str] = ..., share: _Optional[float] = ..., reason: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class VersionStatus(_message.Message):
    __slots__ = ("version", "ready", "wanted", "memory", "rate", "p50", "p99")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    version: str
    ready: int
    wanted: int
    memory: int
    rate: float
    p50: float
    p99: float
    def __init__(self, version: _Optional[str] = ..., ready: _Optional[int] = ..., wanted: _Optional[int] = ..., memory: _Optional[int] = ..., rate: _Optional[float] = ..., p50: _Optional[float] = ..., p99: _Optional[float] = ...) -> None: ...

class StepStatus(_message.Message):
    __slots__ = ("share", "seconds", "canary_requests", "canary_bad", "stable_requests", "stable_bad")
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CANARY_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CANARY_BAD_FIELD_NUMBER: _ClassVar[int]
    STABLE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    STABLE_BAD_FIELD_NUMBER: _ClassVar[int]
    share: float
    seconds: float
    canary_requests: int
    canary_bad: int
    stable_requests: int
    stable_bad: int
    def __init__(self, share: _Optional[float] = ..., seconds: _Optional[float] = ..., canary_requests: _Optional[int] = ..., canary_bad: _Optional[int] = ..., stable_requests: _Optional[int] = ..., stable_bad: _Optional[int] = ...) -> None: ...

class IncidentStatus(_message.Message):
    __slots__ = ("id", "signature", "state", "finding", "opened_at", "closed_at", "rungs", "outcome", "slope", "seconds_to_limit", "detected_after", "sites", "regeneration")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SLOPE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_TO_LIMIT_FIELD_NUMBER: _ClassVar[int]
    DETECTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    REGENERATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    signature: str
    state: str
    finding: str
    opened_at: float
    closed_at: float
    rungs: _containers.RepeatedCompositeFieldContainer[RungStatus]
    outcome: str
    slope: float
    seconds_to_limit: float
    detected_after: float
    sites: _containers.RepeatedCompositeFieldContainer[SiteStatus]
    regeneration: RegenerationStatus
    def __init__(self, id: _Optional[str] = ..., signature: _Optional[str] = ..., state: _Optional[str] = ..., finding: _Optional[str] = ..., opened_at: _Optional[float] = ..., closed_at: _Optional[float] = ..., rungs: _Optional[_Iterable[_Union[RungStatus, _Mapping]]] = ..., outcome: _Optional[str] = ..., slope: _Optional[float] = ..., seconds_to_limit: _Optional[float] = ..., detected_after: _Optional[float] = ..., sites: _Optional[_Iterable[_Union[SiteStatus, _Mapping]]] = ..., regeneration: _Optional[_Union[RegenerationStatus, _Mapping]] = ...) -> None: ...

class RungStatus(_message.Message):
    __slots__ = ("rung", "verdict", "freed", "slope_after", "at", "seconds", "detail")
    RUNG_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FREED_FIELD_NUMBER: _ClassVar[int]
    SLOPE_AFTER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    rung: str
    verdict: str
    freed: int
    slope_after: float
    at: float
    seconds: float
    detail: str
    def __init__(self, rung: _Optional[str] = ..., verdict: _Optional[str] = ..., freed: _Optional[int] = ..., slope_after: _Optional[float] = ..., at: _Optional[float] = ..., seconds: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class SiteStatus(_message.Message):
    __slots__ = ("file", "line", "function", "bytes")
    FILE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    file: str
    line: int
    function: str
    bytes: int
    def __init__(self, file: _Optional[str] = ..., line: _Optional[int] = ..., function: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class RegenerationStatus(_message.Message):
    __slots__ = ("generator", "verdict", "diff_lines", "seconds", "gates", "version", "diff")
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    DIFF_LINES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    generator: str
    verdict: str
    diff_lines: int
    seconds: float
    gates: _containers.RepeatedCompositeFieldContainer[GateStatus]
    version: str
    diff: str
    def __init__(self, generator: _Optional[str] = ..., verdict: _Optional[str] = ..., diff_lines: _Optional[int] = ..., seconds: _Optional[float] = ..., gates: _Optional[_Iterable[_Union[GateStatus, _Mapping]]] = ..., version: _Optional[str] = ..., diff: _Optional[str] = ...) -> None: ...

class GateStatus(_message.Message):
    __slots__ = ("name", "passed", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    passed: bool
    detail: str
    def __init__(self, name: _Optional[str] = ..., passed: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("node", "limit", "follow", "incident")
    NODE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    node: str
    limit: int
    follow: bool
    incident: str
    def __init__(self, node: _Optional[str] = ..., limit: _Optional[int] = ..., follow: _Optional[bool] = ..., incident: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("sequence", "at", "node", "kind", "name", "text", "body")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    at: float
    node: str
    kind: str
    name: str
    text: str
    body: str
    def __init__(self, sequence: _Optional[int] = ..., at: _Optional[float] = ..., node: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., text: _Optional[str] = ..., body: _Optional[str] = ...) -> None: ...

class ReadLogsRequest(_message.Message):
    __slots__ = ("node", "instance", "lines", "follow")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    node: str
    instance: str
    lines: int
    follow: bool
    def __init__(self, node: _Optional[str] = ..., instance: _Optional[str] = ..., lines: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class ReadLogsResponse(_message.Message):
    __slots__ = ("instance", "text")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    instance: str
    text: bytes
    def __init__(self, instance: _Optional[str] = ..., text: _Optional[bytes] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version", "build", "protocol")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    version: str
    build: str
    protocol: int
    def __init__(self, version: _Optional[str] = ..., build: _Optional[str] = ..., protocol: _Optional[int] = ...) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases",)
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[ReleaseStatus]
    def __init__(self, releases: _Optional[_Iterable[_Union[ReleaseStatus, _Mapping]]] = ...) -> None: ...

class ReleaseStatus(_message.Message):
    __slots__ = ("node", "version", "digest", "origin", "recorded_at", "state", "size", "signed")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    digest: str
    origin: str
    recorded_at: float
    state: str
    size: int
    signed: bool
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., origin: _Optional[str] = ..., recorded_at: _Optional[float] = ..., state: _Optional[str] = ..., size: _Optional[int] = ..., signed: _Optional[bool] = ...) -> None: ...

class ReadReleaseRequest(_message.Message):
    __slots__ = ("node", "version")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ReadReleaseResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("node", "instance", "argv", "timeout")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    node: str
    instance: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    timeout: float
    def __init__(self, node: _Optional[str] = ..., instance: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., timeout: _Optional[float] = ...) -> None: ...

class ExecResponse(_message.Message):
    __slots__ = ("instance", "exit_code", "output", "truncated", "seconds", "timed_out")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    instance: str
    exit_code: int
    output: str
    truncated: bool
    seconds: float
    timed_out: bool
    def __init__(self, instance: _Optional[str] = ..., exit_code: _Optional[int] = ..., output: _Optional[str] = ..., truncated: _Optional[bool] = ..., seconds: _Optional[float] = ..., timed_out: _Optional[bool] = ...) -> None: ...

class RunTestsRequest(_message.Message):
    __slots__ = ("node", "version")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class RunTestsResponse(_message.Message):
    __slots__ = ("version", "passed", "output", "seconds", "detail")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    version: str
    passed: bool
    output: str
    seconds: float
    detail: str
    def __init__(self, version: _Optional[str] = ..., passed: _Optional[bool] = ..., output: _Optional[str] = ..., seconds: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class CheckHostRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckHostResponse(_message.Message):
    __slots__ = ("checks",)
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    def __init__(self, checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("name", "result", "found", "advice")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    result: str
    found: str
    advice: str
    def __init__(self, name: _Optional[str] = ..., result: _Optional[str] = ..., found: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class BundleRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class BundleResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: RestoreHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[RestoreHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class RestoreHeader(_message.Message):
    __slots__ = ("plan_only", "size")
    PLAN_ONLY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    plan_only: bool
    size: int
    def __init__(self, plan_only: _Optional[bool] = ..., size: _Optional[int] = ...) -> None: ...

class RestoreResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[RestoredNode]
    def __init__(self, nodes: _Optional[_Iterable[_Union[RestoredNode, _Mapping]]] = ...) -> None: ...

class RestoredNode(_message.Message):
    __slots__ = ("node", "version", "result", "text")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    result: str
    text: str
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ..., result: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ReadAuditRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ReadAuditResponse(_message.Message):
    __slots__ = ("entries", "broken")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    broken: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., broken: _Optional[str] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("at", "who", "role", "what", "answer", "pid")
    AT_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    at: float
    who: str
    role: str
    what: str
    answer: str
    pid: int
    def __init__(self, at: _Optional[float] = ..., who: _Optional[str] = ..., role: _Optional[str] = ..., what: _Optional[str] = ..., answer: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...
