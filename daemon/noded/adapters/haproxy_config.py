"""What does haproxy.cfg say?

One slot per port: a backend named `s<port>` that is empty at start and gets its servers, pins and
shares by the runtime API (`haproxy.py`). The configuration itself never changes while HAProxy runs:
HAProxy 2.6 loses requests and may crash on a reload.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

NUMBERS = "numbers.map"
"""`s<port>.share` in 1/10000, `s<port>.until` in Unix seconds, `s<port>.pinned` and `s<port>.canary` as
counts, `s<port>.retry.<METHOD>` as 1."""
NAMES = "names.map"
"""`s<port>.pinned.<k>` and `s<port>.canary.<k>`: names of servers."""
SHARE_STEPS = 10_000
MOST_PORTS = 4_096

_PLAIN = re.compile(r"[^\s\"'\\#$]+")
_GROUP = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")

_HEAD = """\
# Written by noded; servers and shares are set through the admin socket.
global
  nbthread 1
  fd-hard-limit 65536
  hard-stop-after 30s
  stats socket {socket} mode 660 level admin{group}
  stats timeout 10s

defaults slot
  mode http
  timeout connect 1s
  timeout client {timeout}s
  timeout server {timeout}s
  timeout tunnel 1h
  option http-keep-alive
  http-reuse safe
  balance roundrobin
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout
  http-request set-var(txn.n) be_name,concat(.pinned),map_str_int({numbers},1)
  http-request set-var-fmt(txn.key) %[be_name].pinned.%[rand(1000000),mod(txn.n)]
  http-request set-var(txn.to) var(txn.key),map_str({names})
  http-request set-var(txn.share) be_name,concat(.share),map_str_int({numbers},0)
  http-request set-var(txn.until) be_name,concat(.until),map_str_int({numbers},0)
  http-request set-var(txn.n) be_name,concat(.canary),map_str_int({numbers},1)
  http-request set-var-fmt(txn.key) %[be_name].canary.%[rand(1000000),mod(txn.n)]
  http-request set-var(txn.to) var(txn.key),map_str({names}) if {{ rand({steps}),sub(txn.share) -m int lt 0 }} {{ date(),sub(txn.until) -m int lt 0 }}
  http-request set-var-fmt(txn.key) %[be_name].retry.%[method]
  http-request disable-l7-retry unless {{ var(txn.key),map_str_int({numbers},0) -m int eq 1 }}

defaults clients
  mode http
  timeout client {timeout}s
  timeout http-request 30s
  timeout http-keep-alive {timeout}s
  option http-keep-alive

frontend clients from clients
{binds}
  use_backend s%[dst_port]
"""  # noqa: E501

# A dead pinned server is skipped by use-server and avoided by redispatch, so `balance` is reached
# only by requests that could not be served where they were sent.
_SLOT = """
backend s{port} from slot
  use-server %[var(txn.to)] if {{ var(txn.to) -m found }}
"""


def config(
    socket: Path,
    ports: Sequence[tuple[int, int]],
    bind: str,
    maps: Path,
    *,
    group: str = "",
    timeout: int = 60,
) -> str:
    """The whole text of haproxy.cfg.

    `ports` are inclusive ranges; `bind` is the address clients connect to ("" for every address);
    `group` may use the admin socket besides HAProxy's own user; `timeout` in seconds is the longest
    silence of a client or server. HAProxy needs the files of `maps` when it starts: see `write_maps`.
    Raises ValueError that names the wrong argument.
    """
    for what, path in (("socket", socket), ("maps", maps)):
        if not path.is_absolute() or not _PLAIN.fullmatch(str(path)):
            raise ValueError(
                f"{what}: expected an absolute path without blanks and quotes, got {str(path)!r}"
            )
    if bind and not _PLAIN.fullmatch(bind):
        raise ValueError(f"bind: expected an address, got {bind!r}")
    if group and not _GROUP.fullmatch(group):
        raise ValueError(f"group: expected a group's name, got {group!r}")
    if not 1 <= timeout <= 86_400:
        raise ValueError(f"timeout: expected 1 to 86400 seconds, got {timeout}")
    ranges = _checked(ports)
    head = _HEAD.format(
        socket=socket,
        group=f" group {group}" if group else "",
        timeout=timeout,
        numbers=maps / NUMBERS,
        names=maps / NAMES,
        steps=SHARE_STEPS,
        binds="\n".join(f"  bind {bind}:{first}-{last}" for first, last in ranges),
    )
    return head + "".join(_SLOT.format(port=port) for port in _each(ranges))


def write_maps(maps: Path) -> None:
    """Make the empty map files HAProxy insists on; what HAProxy knows is only in its memory."""
    maps.mkdir(parents=True, exist_ok=True)
    for name in (NUMBERS, NAMES):
        (maps / name).write_text("")


def _checked(ports: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    ranges = sorted(ports)
    if not ranges:
        raise ValueError("ports: expected at least one range")
    end = 0
    for first, last in ranges:
        if not 1 <= first <= last <= 65_535:
            raise ValueError(f"ports: expected 1 <= first <= last <= 65535, got {first}-{last}")
        if first <= end:
            raise ValueError(f"ports: {first}-{last} overlaps the range before it")
        end = last
    count = sum(last - first + 1 for first, last in ranges)
    if count > MOST_PORTS:
        raise ValueError(f"ports: expected at most {MOST_PORTS} ports in all, got {count}")
    return ranges


def _each(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)
