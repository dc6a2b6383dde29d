"""What does haproxy.cfg say?

Slots: backends that are empty at start and get their servers, pins and shares by the runtime API
(`haproxy.py`). Every port has one, `s<port>` for requests and `t<port>` for connections; those named
`n<number>` are for nodes that share a port by host name. Beside each for requests stands `c<slot>`, for those
that are dealt to a canary. The configuration itself never changes while
HAProxy runs: HAProxy 2.6 loses requests and may crash on a reload.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

NUMBERS = "numbers.map"
"""`<slot>.share` in 1/10000, `<slot>.until` in Unix milliseconds, `<slot>.pinned` and `<slot>.canary` as
counts, `<slot>.retry.<METHOD>` as 1, `<slot>.raised.<instance>` as a count."""
NAMES = "names.map"
"""`<slot>.pinned.<k>` and `<slot>.canary.<k>`: names of servers."""
HOSTS = "hosts.map"
"""`<port>/<host>`: the slot for this name. `<port>/*`: `nobody`, where all nodes of a port have names of
their own. `<slot>`: the node and port it belongs to."""
NOBODY = "nobody"
NAME_SLOTS = 128
FUSES = "fuses"
"""Table of errors by the canary's server."""
FUSE = 3
"""Errors in a row after which a canary is dealt nothing more, until noded puts it back."""
SHARE_STEPS = 10_000
MOST_PORTS = 4_096

_PLAIN = re.compile(r"[^\s\"'\\#$]+")
_GROUP = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")

_GLOBAL = """\
# Written by noded; servers and shares are set through the admin socket.
global
  nbthread 1
  fd-hard-limit 65536
  hard-stop-after 30s
  # HAProxy's own client is not used; to verify servers it would read all certificates of the system.
  httpclient.ssl.verify none
  stats socket {socket} mode 660 level admin{group}
  stats maxconn 32
  stats timeout 10s
"""

# Which of stable's servers, and whether the canary instead: the same for requests (`http-request`) and
# connections (`tcp-request content`).
_CHOICE = (
    "set-var(txn.n) be_name,concat(.pinned),map_str_int({numbers},1)",
    "set-var-fmt(txn.key) %[be_name].pinned.%[rand(1000000),mod(txn.n)]",
    "set-var(txn.to) var(txn.key),map_str({names})",
)
_DRAW = (
    "set-var(txn.share) {slot},concat(.share),map_str_int({numbers},0)",
    "set-var(txn.until) {slot},concat(.until),map_str_int({numbers},0)",
    "set-var(txn.n) {slot},concat(.canary),map_str_int({numbers},1)",
    "set-var-fmt(txn.key) %[{slot}].canary.%[rand(1000000),mod(txn.n)]",
    "set-var(txn.{to}) var(txn.key),map_str({names})"
    " if {{ rand({steps}),sub(txn.share) -m int lt 0 }} {{ date(0,ms),sub(txn.until) -m int lt 0 }}",
)

# What both kinds of backends for requests begin with.
_SERVED = """\
  mode http
  timeout connect 1s
  timeout client {timeout}s
  timeout server {timeout}s
  timeout tunnel 1h
  option http-keep-alive
  http-reuse safe
  balance roundrobin
  option redispatch 1"""

_REQUESTS = """
backend fuses
  stick-table type string len 64 size 8k expire 1h store gpt0

defaults requests
{served}
  retries 3
  retry-on conn-failure empty-response response-timeout
{choice}
  http-request set-var-fmt(txn.key) %[be_name].retry.%[method]
  http-request disable-l7-retry unless {{ var(txn.key),map_str_int({numbers},0) -m int eq 1 }}

# What is dealt to a canary. Its errors are sent on to stable where that does no harm, else counted until an answer is
# good (of those that `observe` counts passing health checks forgive all).
defaults canaries
{served}
  retries 2
  retry-on conn-failure empty-response response-timeout 500 502 503 504
  http-request set-var(txn.to) var(txn.canary)
  http-request track-sc0 var(txn.canary) table fuses
  http-request set-var-fmt(txn.key) %[var(txn.slot)].retry.%[method]
  http-request disable-l7-retry unless {{ var(txn.key),map_str_int({numbers},0) -m int eq 1 }}
  http-response sc-set-gpt0(0) sc0_get_gpt0,add(1) if {{ status ge 500 }}
  http-response sc-set-gpt0(0) 0 if {{ status lt 500 }} {{ sc0_get_gpt0 lt {fuse} }}

defaults clients
  mode http
  timeout client {timeout}s
  timeout http-request 30s
  timeout http-keep-alive {timeout}s
  option http-keep-alive

frontend clients from clients
{binds}
  http-request set-var-fmt(txn.door) %[dst_port]/%[req.hdr(host),host_only,lower]
  http-request set-var-fmt(txn.rest) %[dst_port]/*
  http-request set-var-fmt(txn.slot) s%[dst_port]
  http-request set-var(txn.slot) var(txn.rest),map_str({hosts})
  http-request set-var(txn.slot) var(txn.door),map_str({hosts})
{draw}
  http-request unset-var(txn.canary) if {{ var(txn.canary),table_gpt0(fuses) ge {fuse} }}
  use_backend c%[var(txn.slot)] if {{ var(txn.canary) -m found }}
  use_backend %[var(txn.slot)]

defaults nobody
  mode http
  timeout connect 1s
  timeout server 1s

backend nobody from nobody
  http-request return status 404 content-type text/plain string "no node answers for this host name on this port\\n"
"""  # noqa: E501

_CONNECTIONS = """
defaults connections
  mode tcp
  timeout connect 1s
  timeout client {timeout}s
  timeout server {timeout}s
  timeout tunnel 1h
  balance roundrobin
  option redispatch 1
  retries 3
{choice}
{draw}

defaults callers
  mode tcp
  timeout client {timeout}s

frontend callers from callers
{binds}
  use_backend t%[dst_port]
"""

# A dead pinned server is skipped by use-server and avoided by redispatch, so `balance` is reached
# only by requests that could not be served where they were sent.
_SLOT = """
backend {name} from {kind}
  use-server %[var(txn.to)] if {{ var(txn.to) -m found }}
"""


def config(
    socket: Path,
    ports: Sequence[tuple[int, int]],
    bind: str,
    maps: Path,
    *,
    tcp_ports: Sequence[tuple[int, int]] = (),
    group: str = "",
    timeout: int = 60,
) -> str:
    """The whole text of haproxy.cfg.

    `ports` are inclusive ranges for requests, `tcp_ports` for connections; `bind` is the address
    clients connect to ("" for every address); `group` may use the admin socket besides HAProxy's own
    user; `timeout` in seconds is the longest silence of a client or server. HAProxy needs the files
    of `maps` when it starts: see `write_maps`. Raises ValueError that names the wrong argument.
    """
    _check_words(socket, maps, bind, group)
    if not 1 <= timeout <= 86_400:
        raise ValueError(f"timeout: expected 1 to 86400 seconds, got {timeout}")
    ranges, streams = _checked("ports", ports), _checked("tcp_ports", tcp_ports)
    if not ranges:
        raise ValueError("ports: expected at least one range")
    _checked("ports and tcp_ports", [*ranges, *streams])
    words: dict[str, object] = {
        "socket": socket,
        "group": f" group {group}" if group else "",
        "timeout": timeout,
        "numbers": maps / NUMBERS,
        "names": maps / NAMES,
        "hosts": maps / HOSTS,
        "steps": SHARE_STEPS,
        "fuse": FUSE,
    }
    drawn = {**words, "slot": "var(txn.slot)", "to": "canary"}
    requests = {
        "choice": _rules("http-request", _CHOICE, words),
        "draw": _rules("http-request", _DRAW, drawn),
        "served": _SERVED.format(**words),
        "binds": _binds(bind, ranges),
    }
    text = _GLOBAL.format(**words) + _REQUESTS.format(**words, **requests)
    if streams:
        drawn = {**words, "slot": "be_name", "to": "to"}
        connections = {
            "choice": _rules("tcp-request content", _CHOICE, words),
            "draw": _rules("tcp-request content", _DRAW, drawn),
            "binds": _binds(bind, streams),
        }
        text += _CONNECTIONS.format(**words, **connections)
    slots = [f"s{port}" for port in _each(ranges)] + [f"n{number}" for number in range(NAME_SLOTS)]
    names = [(slot, "requests") for slot in slots] + [(f"c{slot}", "canaries") for slot in slots]
    names += [(f"t{port}", "connections") for port in _each(streams)]
    return text + "".join(_SLOT.format(name=name, kind=kind) for name, kind in names)


def _check_words(socket: Path, maps: Path, bind: str, group: str) -> None:
    for what, path in (("socket", socket), ("maps", maps)):
        if not path.is_absolute() or not _PLAIN.fullmatch(str(path)):
            raise ValueError(
                f"{what}: expected an absolute path without blanks and quotes, got {str(path)!r}"
            )
    if bind and not _PLAIN.fullmatch(bind):
        raise ValueError(f"bind: expected an address, got {bind!r}")
    if group and not _GROUP.fullmatch(group):
        raise ValueError(f"group: expected a group's name, got {group!r}")


def _rules(kind: str, rules: Sequence[str], words: Mapping[str, object]) -> str:
    return "\n".join(f"  {kind} {rule.format(**words)}" for rule in rules)


def _binds(bind: str, ranges: Sequence[tuple[int, int]]) -> str:
    return "\n".join(f"  bind {bind}:{first}-{last}" for first, last in ranges)


def write_maps(maps: Path) -> None:
    """Make the empty map files HAProxy insists on; what HAProxy knows is only in its memory."""
    maps.mkdir(parents=True, exist_ok=True)
    for name in (NUMBERS, NAMES, HOSTS):
        (maps / name).write_text("")


def _checked(what: str, ports: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    ranges = sorted(ports)
    end = 0
    for first, last in ranges:
        if not 1 <= first <= last <= 65_535:
            raise ValueError(f"{what}: expected 1 <= first <= last <= 65535, got {first}-{last}")
        if first <= end:
            raise ValueError(f"{what}: {first}-{last} overlaps the range before it")
        end = last
    count = sum(last - first + 1 for first, last in ranges)
    if count > MOST_PORTS:
        raise ValueError(f"{what}: expected at most {MOST_PORTS} ports in all, got {count}")
    return ranges


def _each(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)
