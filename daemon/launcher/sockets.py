"""Which listening sockets are held for nodes, so that connections wait while an instance is replaced?

A socket is opened at the first start that asks for it and handed to every instance of the node. A launcher
that was restarted takes it back from an instance that has it.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Iterable, Iterator

from launcher import proc
from launcher.orders import Address, Refusal, Result

_LIBC = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438  # the same number on every architecture; Linux 5.6
_BACKLOG = 4096  # the kernel takes net.core.somaxconn when that is less
_MOST_SOCKETS = 1024
_LISTENING = "0A"
MARK = "NODED_SOCKET"
"""The variable that tells a later launcher which socket an instance was given."""


class Sockets:
    def __init__(self) -> None:
        self._held: dict[tuple[str, str], socket.socket] = {}

    def open(self, node: str, address: Address, living: Iterable[int]) -> int:
        """The descriptor. `living` are processes of the node that may have it already. Raises Refusal."""
        held = self._held.get((node, address.text))
        if held is None:
            self._check(node, address)
            try:
                held = _listen(address)
            except OSError as error:
                held = _take_back(address, living) if error.errno == errno.EADDRINUSE else None
                if held is None:
                    raise Refusal("refused", _why_not(address, error)) from error
            self._held[node, address.text] = held
        return held.fileno()

    def _check(self, node: str, address: Address) -> None:
        other = next((owner for owner, text in self._held if text == address.text and owner != node), None)
        if other is not None:
            raise Refusal("refused", f"listen {address.text}: held for node {other}")
        if len(self._held) >= _MOST_SOCKETS:
            raise Refusal("unavailable", f"listen {address.text}: {_MOST_SOCKETS} sockets are held already")

    def adopt(self, node: str, address: Address, pid: int) -> bool:
        """After a restart of the launcher: gets the socket from a living instance."""
        if (node, address.text) in self._held:
            return True
        found = _take_back(address, (pid,))
        if found is not None:
            self._held[node, address.text] = found
        return found is not None

    def close(self, node: str) -> Result:
        """Running instances keep theirs."""
        gone = [key for key in self._held if key[0] == node]
        for key in gone:
            self._held.pop(key).close()
        return {"closed": [text for _, text in gone]}

    def told(self) -> list[Result]:
        return [{"node": node, "address": text} for node, text in self._held]


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address.host, address.port))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _take_back(address: Address, living: Iterable[int]) -> socket.socket | None:
    links = {f"socket:[{inode}]" for inode, _ in _listeners(address)}
    for pid in living if links else ():
        pidfd = proc.hold(pid)
        if pidfd < 0:
            continue
        try:
            numbers = (
                entry["fd"] for entry in proc.descriptors(pid, _MOST_SOCKETS) if entry["target"] in links
            )
            found = (_copy(pidfd, number, address) for number in numbers if isinstance(number, int))
            if (good := next((made for made in found if made is not None), None)) is not None:
                return good
        finally:
            os.close(pidfd)
    return None


def _copy(pidfd: int, number: int, address: Address) -> socket.socket | None:
    """Another process's descriptor, if it is what it should be: it may have changed since one looked."""
    fd = _LIBC.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        return None
    try:
        made = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        return None
    try:
        listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and made.getsockname()[:2] == (address.host, address.port):
            return made
    except OSError:
        pass
    made.close()
    return None


def _why_not(address: Address, error: OSError) -> str:
    text = f"listen {address.text}: {os.strerror(error.errno or 0)}"
    owners = ", ".join(sorted({f"uid {uid}" for _, uid in _listeners(address)}))
    return f"{text} (by {owners})" if owners and error.errno == errno.EADDRINUSE else text


def _listeners(address: Address) -> Iterator[tuple[str, str]]:
    """Inode and uid of every socket that listens there or on all addresses, as /proc/net/tcp has them."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    any_host = "::" if family == socket.AF_INET6 else "0.0.0.0"
    places = {f"{_hex(family, host)}:{address.port:04X}" for host in (address.host, any_host)}
    try:
        with open("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp") as table:
            for line in table:
                words = line.split()
                # Those that listen come first; a host may have a million connections after them.
                if words[0] != "sl" and words[3] != _LISTENING:
                    return
                if words[1] in places:
                    yield words[9], words[7]
    except OSError:
        return


def _hex(family: socket.AddressFamily, host: str) -> str:
    """Words of four bytes, each in the order of this machine."""
    raw = socket.inet_pton(family, host)
    words = (raw[place : place + 4] for place in range(0, len(raw), 4))
    return "".join(f"{int.from_bytes(word, 'little' if _LITTLE else 'big'):08X}" for word in words)


_LITTLE = socket.htons(1) != 1
