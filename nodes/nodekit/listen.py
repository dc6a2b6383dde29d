"""Where does the node take requests? Reads NODED_LISTEN: `unix:/path`, `127.0.0.1:8080` or `fd:3`."""

import os
import socket
import stat
from dataclasses import dataclass

# A full backlog of a unix socket answers a proxy's connect with EAGAIN, which it counts as a failed server.
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Either `path` is set (a unix socket), or `host` and `port`, or `fd` (sd_listen_fds(3))."""

    path: str = ""
    host: str = ""
    port: int = 0
    fd: int = -1

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Raises ValueError."""
        expected = f'NODED_LISTEN: expected "unix:/path" or "host:port" or "fd:3", got {text!r}'
        kind, _, rest = text.partition(":")
        if kind == "unix":
            if not rest.startswith("/"):
                raise ValueError(expected)
            return cls(path=rest)
        if kind == "fd":
            # systemd's first one; a larger number would be somebody else's.
            if rest != "3":
                raise ValueError(expected)
            return cls(fd=int(rest))
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(expected)
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.fd >= 0:
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def bind(self) -> socket.socket:
        """A listening socket. A unix socket gets mode 0660: its group is the proxy's. Raises OSError."""
        if self.fd >= 0:
            return given(self.fd)
        if not self.path:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        unlink_socket(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.path)
            os.chmod(self.path, 0o660)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener


def given(fd: int) -> socket.socket:
    """The socket that is held for this node from instance to instance. Closing ours does not close it."""
    if os.environ.get("LISTEN_FDS", "0") == "0":
        raise OSError(f"NODED_LISTEN: fd:{fd} was not passed on: LISTEN_FDS is not set")
    # Programs that this one starts shall not hold it too.
    os.set_inheritable(fd, False)
    listener = socket.socket(fileno=os.dup(fd))
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise OSError(f"NODED_LISTEN: fd:{fd} is not a listening socket")
    return listener


def unlink_socket(path: str) -> None:
    """Takes away what an earlier instance left there, but never anything that is not a socket."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
