"""What may stand in `noded.toml`: its sections, their defaults, and how each value is written."""

import re
import socket
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from itertools import combinations, product
from typing import Annotated, Any

from nodespec.tables import shape_of
from nodespec.units import Form, Seconds, Size, a_string, a_whole_number, matching, whole

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ABSOLUTE = r"/[^\0]{0,4000}"
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
PEER = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):([0-9]{1,5})")


def _ranges(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    ranges = tuple(_range(item) for item in value)
    if any(_overlap(one, other) for one, other in combinations(ranges, 2)):
        raise ValueError
    return ranges


def _ranges_or_none(value: Any) -> tuple[tuple[int, int], ...]:
    return () if value == [] else _ranges(value)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _range(value: Any) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", a_string(value), re.ASCII)
    if not found:
        raise ValueError
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= 65535:
        raise ValueError
    return first, last


def _env(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(NAME.fullmatch(name) for name in value):
        raise ValueError
    if any(name.startswith("NODED_") or name == "NOTIFY_SOCKET" for name in value):
        raise ValueError
    return tuple((name, a_string(text)) for name, text in value.items())


def _uids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError
    uids = tuple(a_whole_number(item) for item in value)
    if any(not 0 <= uid < 2**32 - 1 for uid in uids):
        raise ValueError
    return uids


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not value[0]:
        raise ValueError
    return tuple(a_string(word) for word in value)


def _address(value: Any) -> str:
    text = a_string(value)
    if text == "off":
        return text
    host, _, port = text.rpartition(":")
    ip_address(host)
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        raise ValueError
    return text


def _peers(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(HOST.fullmatch(name) for name in value):
        raise ValueError
    found = tuple((name, a_string(address)) for name, address in value.items())
    for _, address in found:
        parts = PEER.fullmatch(address)
        if parts is None or not 1 <= int(parts[1]) <= 65535:
            raise ValueError
    return found


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files. The certificate names the host as a DNS name, and is good for servers and clients."""

    cert: str = "/etc/noded/tls/host.pem"
    key: str = "/etc/noded/tls/host.key"
    ca: str = "/etc/noded/tls/ca.pem"


def _tls(value: Any) -> Tls:
    if not isinstance(value, dict) or not value.keys() <= {"cert", "key", "ca"}:
        raise ValueError
    if not all(re.fullmatch(ABSOLUTE, a_string(path)) for path in value.values()):
        raise ValueError
    return Tls(**value)


def _bind(value: Any) -> str:
    text = a_string(value)
    if text != "*":
        ip_address(text)
    return text


def _written(ports: tuple[int, int]) -> str:
    first, last = ports
    return f"{first}-{last}" if first != last else str(first)


STRINGS = {"type": "array", "items": {"type": "string"}}
AbsolutePath = Annotated[str, matching(ABSOLUTE, "an absolute path")]
HostName = Annotated[str, matching(HOST.pattern, "a host name")]
Ranges = Annotated[
    tuple[tuple[int, int], ...],
    Form(
        'a list of port ranges such as ["8100-8163"], none overlapping',
        _ranges,
        {**STRINGS, "minItems": 1},
        lambda ranges: [_written(one) for one in ranges],
    ),
]
RangesOrNone = Annotated[
    tuple[tuple[int, int], ...],
    Form(
        'a list of port ranges such as ["8164-8179"], none overlapping, or []',
        _ranges_or_none,
        STRINGS,
        lambda ranges: [_written(one) for one in ranges],
    ),
]
Range = Annotated[
    tuple[int, int], Form('a port range such as "20000-20999"', _range, {"type": "string"}, _written)
]
Env = Annotated[
    tuple[tuple[str, str], ...],
    Form(
        "a table of environment variables, none named NODED_* or NOTIFY_SOCKET",
        _env,
        {"type": "object", "additionalProperties": {"type": "string"}},
        dict,
    ),
]
Uids = Annotated[
    tuple[int, ...], Form("a list of uids", _uids, {"type": "array", "items": {"type": "integer"}})
]
Command = Annotated[
    tuple[str, ...], Form("a command as a list of words", _command, {**STRINGS, "minItems": 1})
]
Address = Annotated[
    str, Form('an IP address and a port such as "127.0.0.1:9464", or "off"', _address, {"type": "string"})
]
Peers = Annotated[
    tuple[tuple[str, str], ...],
    Form(
        'a table of host names, each with an address and a port such as "10.0.0.2:9466"',
        _peers,
        {"type": "object", "additionalProperties": {"type": "string"}},
        dict,
    ),
]
TlsFiles = Annotated[
    Tls,
    Form(
        "a table of absolute paths: cert, key, ca",
        _tls,
        {"type": "object", "additionalProperties": {"type": "string"}},
        asdict,
    ),
]
Bind = Annotated[str, Form('an IP address, or "*" for all', _bind, {"type": "string"})]


@dataclass(frozen=True, slots=True)
class HostPart:
    name: HostName = field(default_factory=lambda: socket.gethostname()[:63] or "localhost")


@dataclass(frozen=True, slots=True)
class Paths:
    """`run` holds sockets, `state` what must survive, `logs` what nodes print."""

    state: AbsolutePath = "/var/lib/noded"
    run: AbsolutePath = "/run/noded"
    logs: AbsolutePath = "/var/log/noded"
    launcher: AbsolutePath = "/run/noded-launcher/launcher.sock"


@dataclass(frozen=True, slots=True)
class ProxyPart:
    """`ports` are for requests; `tcp_ports` for connections of protocol = "tcp", which the proxy does not
    read."""

    socket: AbsolutePath = "/run/noded-proxy/admin.sock"
    maps: AbsolutePath = "/run/noded-proxy/maps"
    ports: Ranges = ((8100, 8163),)
    tcp_ports: RangesOrNone = ()
    bind: Bind = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class NodesPart:
    """`env` is the environment every node starts from; `ports` is for instances that listen on one, `sockets`
    for listening sockets that are held open for nodes without HTTP."""

    env: Env = (("PATH", "/usr/local/bin:/usr/bin:/bin"),)
    ports: Range = (20000, 20999)
    sockets: Ranges = ((8200, 8231),)


@dataclass(frozen=True, slots=True)
class RegeneratePart:
    """How the worker is run. An empty user is noded's own."""

    command: Command = ("noded-regenerate",)
    env: Env = (("PATH", "/usr/local/bin:/usr/bin:/bin"),)
    python: AbsolutePath = "/usr/bin/python3"
    user: Annotated[str, matching(r"[a-z0-9_-]{0,32}", "a user name or uid")] = ""


@dataclass(frozen=True, slots=True)
class MetricsPart:
    listen: Address = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class MeshPart:
    """Nodes publish and consume at `socket`; at most `log_limit` of events lie in `state`, for `keep` after
    all have handled them, while there is room. `peers` are meshes of other hosts: what is
    published there is consumed here, and the other way."""

    socket: AbsolutePath = "/run/noded-mesh/mesh.sock"
    state: AbsolutePath = "/var/lib/noded-mesh"
    log_limit: Size = 1024 * 1024 * 1024
    keep: Seconds = 86_400.0
    listen: Address = "127.0.0.1:9465"
    peers: Peers = ()
    peer_listen: Address = "off"
    tls: TlsFiles = Tls()

    def __post_init__(self) -> None:
        if self.socket == self.control:
            raise ValueError(
                "[mesh] socket may not be called control.sock: that is the one for noded beside it"
            )

    @property
    def control(self) -> str:
        """Where noded and administrators' orders come in."""
        return f"{self.socket.rpartition('/')[0]}/control.sock"


@dataclass(frozen=True, slots=True)
class ControlPart:
    """`admins` may give orders besides root and noded's own user; everybody on the host may look."""

    admins: Uids = ()


@dataclass(frozen=True, slots=True)
class JournalPart:
    """`ballast` is room on the state folder's disk that is given up first when that fills."""

    age: Seconds = 30 * 86_400.0
    entries: Annotated[int, whole(1000, 10**9)] = 200_000
    ring: Size = 64 * 1024 * 1024
    ballast: Size = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogsPart:
    """What nodes printed: `size` of one running instance, and which of the ended ones stay."""

    size: Size = 64 * 1024 * 1024
    kept: Annotated[int, whole(0, 1000)] = 5
    age: Seconds = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    host: HostPart = field(default_factory=HostPart)
    paths: Paths = field(default_factory=Paths)
    proxy: ProxyPart = field(default_factory=ProxyPart)
    nodes: NodesPart = field(default_factory=NodesPart)
    regenerate: RegeneratePart = field(default_factory=RegeneratePart)
    metrics: MetricsPart = field(default_factory=MetricsPart)
    mesh: MeshPart = field(default_factory=MeshPart)
    control: ControlPart = field(default_factory=ControlPart)
    journal: JournalPart = field(default_factory=JournalPart)
    logs: LogsPart = field(default_factory=LogsPart)

    def __post_init__(self) -> None:
        proxy = (*self.proxy.ports, *self.proxy.tcp_ports)
        for one, other in product(self.proxy.ports, self.proxy.tcp_ports):
            if _overlap(one, other):
                raise ValueError(f"[proxy] ports and [proxy] tcp_ports share ports of {_written(one)}")
        for first, last in proxy:
            if _overlap((first, last), self.nodes.ports):
                raise ValueError(f"[nodes] ports and [proxy] ports share ports of {first}-{last}")
        for first, last in self.nodes.sockets:
            for other in (*proxy, self.nodes.ports):
                if _overlap((first, last), other):
                    raise ValueError(f"[nodes] sockets share ports of {first}-{last} with another range")


LATER = ("registry", "tls")


def schema() -> dict[str, Any]:
    """The JSON Schema of `noded.toml`, for editors; rules between keys are not in it."""
    definitions: dict[str, Any] = {}
    shape_of(Settings, {}).schema(definitions)
    whole = definitions.pop(Settings.__name__)
    return {**whole, "title": "noded.toml", "$defs": definitions}
