"""Has the program at the other end taken our connection, or only the kernel in its name?

A connection waits in the kernel until the program calls accept(2), also when the program is stopped or hangs.
Until then the other end belongs to no file: its inode is 0. sock_diag(7) tells the inode of one socket.
"""

import os
import socket
import struct

SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST = 1
HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port."""
ANY_COOKIE = b"\xff" * 8
INET_DIAG_MSG = 72
"""Bytes; the inode is its last field."""
UNIX_DIAG_MSG = 16
UDIAG_SHOW_PEER = 4
UNIX_DIAG_PEER = 2
WAITING = (1, 3)
"""TCP_ESTABLISHED, TCP_SYN_RECV."""
LARGEST = 4096


def waits(ours: socket.socket) -> bool:
    """True while nobody has accepted it. False too when the kernel does not tell: then its word is taken.

    Raises OSError when it is not connected, or not any more.
    """
    there = ours.getpeername()
    if _spoke(ours):
        return False
    try:
        return _unix(ours) if ours.family == socket.AF_UNIX else _tcp(ours, there)
    except OSError:
        return False


def _spoke(ours: socket.socket) -> bool:
    """It said something or hung up: both need a program."""
    try:
        ours.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


def _unix(ours: socket.socket) -> bool:
    inode = os.fstat(ours.fileno()).st_ino
    request = struct.pack("=BBHIII8s", socket.AF_UNIX, 0, 0, 0, inode, UDIAG_SHOW_PEER, ANY_COOKIE)
    answer = _asked(request)
    at = UNIX_DIAG_MSG
    while at + 8 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind == UNIX_DIAG_PEER:
            return bool(struct.unpack_from("=I", answer, at + 4)[0] == 0)
        at += max(4, (length + 3) & ~3)
    return False


def _tcp(ours: socket.socket, there: tuple[object, ...]) -> bool:
    here = ours.getsockname()
    # Seen from the other end: its address is the source, ours the destination.
    ports = struct.pack("!HH", int(str(there[1])), here[1])
    places = b"".join(
        socket.inet_pton(ours.family, str(end[0]).partition("%")[0]).ljust(16, b"\0") for end in (there, here)
    )
    identity = ports + places + bytes(4) + ANY_COOKIE
    answer = _asked(struct.pack("=BBBBI", ours.family, socket.IPPROTO_TCP, 0, 0, 2**32 - 1) + identity)
    if len(answer) < INET_DIAG_MSG:
        return False
    state, inode = answer[1], struct.unpack_from("=I", answer, INET_DIAG_MSG - 4)[0]
    return state in WAITING and inode == 0


def _asked(request: bytes) -> bytes:
    """The answer without its header; empty when there is none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, SOCK_DIAG) as line:
        line.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, REQUEST, 1, 0) + request)
        answer = line.recv(LARGEST)
    if len(answer) < HEADER.size:
        return b""
    length, kind, *_ = HEADER.unpack_from(answer)
    return answer[HEADER.size : length] if kind == SOCK_DIAG_BY_FAMILY else b""
