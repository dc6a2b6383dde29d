from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("head", "columns", "data", "extra", "delivery")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    head: Head
    columns: Columns
    data: _containers.RepeatedScalarFieldContainer[bytes]
    extra: _containers.RepeatedCompositeFieldContainer[Extra]
    delivery: Delivery
    def __init__(self, head: _Optional[_Union[Head, _Mapping]] = ..., columns: _Optional[_Union[Columns, _Mapping]] = ..., data: _Optional[_Iterable[bytes]] = ..., extra: _Optional[_Iterable[_Union[Extra, _Mapping]]] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("source", "stream", "first", "count", "at", "types", "content", "version", "instance", "checked")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    source: str
    stream: str
    first: int
    count: int
    at: int
    types: _containers.RepeatedScalarFieldContainer[str]
    content: str
    version: str
    instance: str
    checked: bool
    def __init__(self, source: _Optional[str] = ..., stream: _Optional[str] = ..., first: _Optional[int] = ..., count: _Optional[int] = ..., at: _Optional[int] = ..., types: _Optional[_Iterable[str]] = ..., content: _Optional[str] = ..., version: _Optional[str] = ..., instance: _Optional[str] = ..., checked: _Optional[bool] = ...) -> None: ...

class Columns(_message.Message):
    __slots__ = ("type", "after", "subject", "key", "index")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    type: _containers.RepeatedScalarFieldContainer[int]
    after: _containers.RepeatedScalarFieldContainer[int]
    subject: _containers.RepeatedScalarFieldContainer[str]
    key: _containers.RepeatedScalarFieldContainer[int]
    index: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, type: _Optional[_Iterable[int]] = ..., after: _Optional[_Iterable[int]] = ..., subject: _Optional[_Iterable[str]] = ..., key: _Optional[_Iterable[int]] = ..., index: _Optional[_Iterable[int]] = ...) -> None: ...

class Extra(_message.Message):
    __slots__ = ("event", "trace", "span", "cause", "tracestate", "schema", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    event: int
    trace: bytes
    span: bytes
    cause: str
    tracestate: str
    schema: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, event: _Optional[int] = ..., trace: _Optional[bytes] = ..., span: _Optional[bytes] = ..., cause: _Optional[str] = ..., tracestate: _Optional[str] = ..., schema: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("number", "position", "attempt", "epoch", "origin", "alone")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    number: int
    position: int
    attempt: int
    epoch: int
    origin: str
    alone: bool
    def __init__(self, number: _Optional[int] = ..., position: _Optional[int] = ..., attempt: _Optional[int] = ..., epoch: _Optional[int] = ..., origin: _Optional[str] = ..., alone: _Optional[bool] = ...) -> None: ...

class Published(_message.Message):
    __slots__ = ("through", "window", "refused", "waiting")
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    through: int
    window: int
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    waiting: str
    def __init__(self, through: _Optional[int] = ..., window: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., waiting: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("first", "count", "reason")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first: int
    count: int
    reason: str
    def __init__(self, first: _Optional[int] = ..., count: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ConsumeRequest(_message.Message):
    __slots__ = ("subscribe", "settle")
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    settle: Settle
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., settle: _Optional[_Union[Settle, _Mapping]] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("instance", "wishes", "granted", "keeps_order", "node")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    KEEPS_ORDER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    wishes: _containers.RepeatedCompositeFieldContainer[Wish]
    granted: int
    keeps_order: bool
    node: str
    def __init__(self, instance: _Optional[str] = ..., wishes: _Optional[_Iterable[_Union[Wish, _Mapping]]] = ..., granted: _Optional[int] = ..., keeps_order: _Optional[bool] = ..., node: _Optional[str] = ...) -> None: ...

class Wish(_message.Message):
    __slots__ = ("type", "attempts", "timeout")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    type: str
    attempts: int
    timeout: float
    def __init__(self, type: _Optional[str] = ..., attempts: _Optional[int] = ..., timeout: _Optional[float] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ("through", "done", "failed", "granted", "working")
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    WORKING_FIELD_NUMBER: _ClassVar[int]
    through: int
    done: _containers.RepeatedScalarFieldContainer[int]
    failed: _containers.RepeatedCompositeFieldContainer[Failed]
    granted: int
    working: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, through: _Optional[int] = ..., done: _Optional[_Iterable[int]] = ..., failed: _Optional[_Iterable[_Union[Failed, _Mapping]]] = ..., granted: _Optional[int] = ..., working: _Optional[_Iterable[int]] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("delivery", "event", "how", "after", "reason")
    class How(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RETRY: _ClassVar[Failed.How]
        REJECT: _ClassVar[Failed.How]
        RELEASE: _ClassVar[Failed.How]
        LOST: _ClassVar[Failed.How]
    RETRY: Failed.How
    REJECT: Failed.How
    RELEASE: Failed.How
    LOST: Failed.How
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    delivery: int
    event: int
    how: Failed.How
    after: float
    reason: str
    def __init__(self, delivery: _Optional[int] = ..., event: _Optional[int] = ..., how: _Optional[_Union[Failed.How, str]] = ..., after: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("host", "consumers", "gone")
    HOST_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    host: str
    consumers: _containers.RepeatedCompositeFieldContainer[Consumer]
    gone: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, host: _Optional[str] = ..., consumers: _Optional[_Iterable[_Union[Consumer, _Mapping]]] = ..., gone: _Optional[_Iterable[str]] = ...) -> None: ...

class Announcements(_message.Message):
    __slots__ = ("announcements",)
    ANNOUNCEMENTS_FIELD_NUMBER: _ClassVar[int]
    announcements: _containers.RepeatedCompositeFieldContainer[Announcement]
    def __init__(self, announcements: _Optional[_Iterable[_Union[Announcement, _Mapping]]] = ...) -> None: ...

class Announced(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: str
    def __init__(self, generation: _Optional[str] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("number", "members", "consumers", "contracts", "gone", "host")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    number: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    consumers: _containers.RepeatedCompositeFieldContainer[Consumer]
    contracts: _containers.RepeatedCompositeFieldContainer[Contract]
    gone: _containers.RepeatedScalarFieldContainer[str]
    host: str
    def __init__(self, number: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., consumers: _Optional[_Iterable[_Union[Consumer, _Mapping]]] = ..., contracts: _Optional[_Iterable[_Union[Contract, _Mapping]]] = ..., gone: _Optional[_Iterable[str]] = ..., host: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("instance", "node", "version", "uid")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    instance: str
    node: str
    version: str
    uid: int
    def __init__(self, instance: _Optional[str] = ..., node: _Optional[str] = ..., version: _Optional[str] = ..., uid: _Optional[int] = ...) -> None: ...

class Consumer(_message.Message):
    __slots__ = ("node", "consumed", "stable", "shares")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    node: str
    consumed: _containers.RepeatedCompositeFieldContainer[Consumed]
    stable: str
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    def __init__(self, node: _Optional[str] = ..., consumed: _Optional[_Iterable[_Union[Consumed, _Mapping]]] = ..., stable: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ...) -> None: ...

class Consumed(_message.Message):
    __slots__ = ("type", "ordered")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    type: str
    ordered: bool
    def __init__(self, type: _Optional[str] = ..., ordered: _Optional[bool] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("version", "share", "valid_until")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    version: str
    share: float
    valid_until: float
    def __init__(self, version: _Optional[str] = ..., share: _Optional[float] = ..., valid_until: _Optional[float] = ...) -> None: ...

class Contract(_message.Message):
    __slots__ = ("type", "node", "version", "schema", "mode")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REJECT: _ClassVar[Contract.Mode]
        WARN: _ClassVar[Contract.Mode]
        OFF: _ClassVar[Contract.Mode]
    REJECT: Contract.Mode
    WARN: Contract.Mode
    OFF: Contract.Mode
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    type: str
    node: str
    version: str
    schema: str
    mode: Contract.Mode
    def __init__(self, type: _Optional[str] = ..., node: _Optional[str] = ..., version: _Optional[str] = ..., schema: _Optional[str] = ..., mode: _Optional[_Union[Contract.Mode, str]] = ...) -> None: ...

class TableSet(_message.Message):
    __slots__ = ("number", "generation")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    generation: str
    def __init__(self, number: _Optional[int] = ..., generation: _Optional[str] = ...) -> None: ...

class MapRequest(_message.Message):
    __slots__ = ("brief", "nodes", "damaged")
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    brief: bool
    nodes: _containers.RepeatedScalarFieldContainer[str]
    damaged: bool
    def __init__(self, brief: _Optional[bool] = ..., nodes: _Optional[_Iterable[str]] = ..., damaged: _Optional[bool] = ...) -> None: ...

class MapReply(_message.Message):
    __slots__ = ("flows", "log_bytes", "log_limit", "newest", "oldest", "table", "peers", "generation", "damaged")
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_LIMIT_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    flows: _containers.RepeatedCompositeFieldContainer[Flow]
    log_bytes: int
    log_limit: int
    newest: int
    oldest: int
    table: int
    peers: _containers.RepeatedCompositeFieldContainer[PeerState]
    generation: str
    damaged: _containers.RepeatedCompositeFieldContainer[Damaged]
    def __init__(self, flows: _Optional[_Iterable[_Union[Flow, _Mapping]]] = ..., log_bytes: _Optional[int] = ..., log_limit: _Optional[int] = ..., newest: _Optional[int] = ..., oldest: _Optional[int] = ..., table: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[PeerState, _Mapping]]] = ..., generation: _Optional[str] = ..., damaged: _Optional[_Iterable[_Union[Damaged, _Mapping]]] = ...) -> None: ...

class Damaged(_message.Message):
    __slots__ = ("file", "lost", "why")
    FILE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    file: str
    lost: int
    why: str
    def __init__(self, file: _Optional[str] = ..., lost: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("type", "publisher", "consumer", "published", "acked", "lag", "dead", "retried", "oldest", "sessions", "versions")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    ACKED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    type: str
    publisher: str
    consumer: str
    published: int
    acked: int
    lag: int
    dead: int
    retried: int
    oldest: float
    sessions: int
    versions: _containers.RepeatedCompositeFieldContainer[VersionCount]
    def __init__(self, type: _Optional[str] = ..., publisher: _Optional[str] = ..., consumer: _Optional[str] = ..., published: _Optional[int] = ..., acked: _Optional[int] = ..., lag: _Optional[int] = ..., dead: _Optional[int] = ..., retried: _Optional[int] = ..., oldest: _Optional[float] = ..., sessions: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[VersionCount, _Mapping]]] = ...) -> None: ...

class VersionCount(_message.Message):
    __slots__ = ("version", "delivered", "acked", "failed", "first", "first_failed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    ACKED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FAILED_FIELD_NUMBER: _ClassVar[int]
    version: str
    delivered: int
    acked: int
    failed: int
    first: int
    first_failed: int
    def __init__(self, version: _Optional[str] = ..., delivered: _Optional[int] = ..., acked: _Optional[int] = ..., failed: _Optional[int] = ..., first: _Optional[int] = ..., first_failed: _Optional[int] = ...) -> None: ...

class PeerState(_message.Message):
    __slots__ = ("name", "address", "connected", "sent", "received", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    connected: bool
    sent: int
    received: int
    problem: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., connected: _Optional[bool] = ..., sent: _Optional[int] = ..., received: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "source", "type", "subject", "time", "content", "data", "trace", "cause", "version", "position", "index", "attributes", "outcomes", "size")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    type: str
    subject: str
    time: float
    content: str
    data: bytes
    trace: str
    cause: str
    version: str
    position: int
    index: int
    attributes: _containers.ScalarMap[str, str]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    size: int
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., type: _Optional[str] = ..., subject: _Optional[str] = ..., time: _Optional[float] = ..., content: _Optional[str] = ..., data: _Optional[bytes] = ..., trace: _Optional[str] = ..., cause: _Optional[str] = ..., version: _Optional[str] = ..., position: _Optional[int] = ..., index: _Optional[int] = ..., attributes: _Optional[_Mapping[str, str]] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., size: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("consumer", "state", "attempts", "at", "reason", "instance")
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    consumer: str
    state: str
    attempts: int
    at: float
    reason: str
    instance: str
    def __init__(self, consumer: _Optional[str] = ..., state: _Optional[str] = ..., attempts: _Optional[int] = ..., at: _Optional[float] = ..., reason: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class TailRequest(_message.Message):
    __slots__ = ("types", "source", "subject", "since", "stop_at_end", "limit", "after")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STOP_AT_END_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedScalarFieldContainer[str]
    source: str
    subject: str
    since: float
    stop_at_end: bool
    limit: int
    after: int
    def __init__(self, types: _Optional[_Iterable[str]] = ..., source: _Optional[str] = ..., subject: _Optional[str] = ..., since: _Optional[float] = ..., stop_at_end: _Optional[bool] = ..., limit: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class ShowRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ("type", "subject", "data", "content", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    type: str
    subject: str
    data: bytes
    content: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., subject: _Optional[str] = ..., data: _Optional[bytes] = ..., content: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SendReply(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("node", "since", "until", "types", "id")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    node: str
    since: float
    until: float
    types: _containers.RepeatedScalarFieldContainer[str]
    id: str
    def __init__(self, node: _Optional[str] = ..., since: _Optional[float] = ..., until: _Optional[float] = ..., types: _Optional[_Iterable[str]] = ..., id: _Optional[str] = ...) -> None: ...

class ReplayReply(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: int
    def __init__(self, events: _Optional[int] = ...) -> None: ...

class DeadRequest(_message.Message):
    __slots__ = ("node", "ids", "limit")
    NODE_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    node: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    def __init__(self, node: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ...) -> None: ...

class DeadReply(_message.Message):
    __slots__ = ("dead", "count")
    DEAD_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    dead: _containers.RepeatedCompositeFieldContainer[DeadEvent]
    count: int
    def __init__(self, dead: _Optional[_Iterable[_Union[DeadEvent, _Mapping]]] = ..., count: _Optional[int] = ...) -> None: ...

class DeadEvent(_message.Message):
    __slots__ = ("node", "event", "attempts", "reason", "at", "version")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    node: str
    event: Event
    attempts: int
    reason: str
    at: float
    version: str
    def __init__(self, node: _Optional[str] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., at: _Optional[float] = ..., version: _Optional[str] = ...) -> None: ...

class TraceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class TraceReply(_message.Message):
    __slots__ = ("trace", "events", "unsearched")
    TRACE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    UNSEARCHED_FIELD_NUMBER: _ClassVar[int]
    trace: str
    events: _containers.RepeatedCompositeFieldContainer[Event]
    unsearched: str
    def __init__(self, trace: _Optional[str] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., unsearched: _Optional[str] = ...) -> None: ...
