"""How does nodectl speak with noded?

Every call names what it is doing, so that whatever goes wrong can be told as "cannot stop catalog: ...".
"""

import os
import re
import socket
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import grpc

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1.control_pb2_grpc import ControlServiceStub
from nodeapi.v1.mesh_pb2_grpc import MeshControlStub
from nodectl import VERSION
from nodectl.failures import Exit, Failure, refused
from nodectl.session import Session

BIGGEST_ANSWER = 16 * 1024 * 1024
LONGEST_PATH = 107
"""Bytes of a unix socket's path (sun_path without its final zero)."""
AWAY = 60.0
"""Seconds a watch waits for a noded that is being restarted; nodes and requests go on meanwhile."""
CONNECTED = 1.0
"""Seconds after which a socket that nobody serves has long been noticed."""

GRPC_SAYS = re.compile(
    "^$|failed to connect|socket closed|connection|broken pipe|goaway|cancelling all calls|stream removed",
    re.IGNORECASE,
)
"""Of a connection that failed. All else noded said of noded-mesh, or that of its log."""


class OutOfTimeError(Failure):
    """The time that was given for following is over."""


class Client:
    def __init__(self, session: Session) -> None:
        self._path = os.path.abspath(session.socket)
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise Failure(
                f"the path of the socket is longer than {LONGEST_PATH} bytes: {self._path}", Exit.USAGE
            )
        self._answer_within = session.answer
        self._channel = grpc.insecure_channel(
            f"unix:{quote(self._path)}",
            [
                ("grpc.max_receive_message_length", BIGGEST_ANSWER),
                ("grpc.enable_http_proxy", 0),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
            ],
        )
        self.stub: Any = ControlServiceStub(self._channel)
        self.mesh: Any = MeshControlStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def ask(
        self,
        doing: str,
        method: Callable[..., Any],
        request: Any,
        node: str = "",
        within: float | None = None,
    ) -> Any:
        try:
            return method(request, timeout=within or self._answer_within)
        except grpc.RpcError as error:
            raise self._failure(doing, error, node, self._is_of_mesh(method)) from None

    def status(self, doing: str, node: str = "") -> pb.GetStatusResponse:
        answer: pb.GetStatusResponse = self.ask(
            doing, self.stub.GetStatus, pb.GetStatusRequest(node=node), node
        )
        return answer

    def node(self, doing: str, node: str) -> pb.NodeStatus:
        for found in self.status(doing, node).nodes:
            if found.name == node:
                return found
        raise refused(doing, "NOT_FOUND", "no such node", node)

    def stream(
        self,
        doing: str,
        method: Callable[..., Any],
        request: Any,
        node: str = "",
        within: float | None = None,
    ) -> Generator[Any, None, None]:
        """Raises OutOfTimeError when `within` seconds are over."""
        call = method(request, timeout=within)
        try:
            yield from call
        except grpc.RpcError as error:
            failure = self._failure(doing, error, node, self._is_of_mesh(method))
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and within is not None:
                raise OutOfTimeError(failure.text, Exit.NOT_REACHABLE, "a longer --timeout") from None
            raise failure from None
        finally:
            call.cancel()

    def follow(
        self,
        doing: str,
        method: Callable[..., Any],
        request: Callable[[], Any],
        node: str = "",
        within: float | None = None,
        away: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
    ) -> Generator[Any, None, None]:
        """A stream that goes on when noded is restarted: `request` makes what is asked each time.

        `away` and `back` are told of it. Raises OutOfTimeError when `within` seconds are over.
        """
        ends = None if within is None else time.monotonic() + within
        taken, away_since = False, 0.0
        while True:
            asked = time.monotonic()
            left = None if ends is None else max(0.0, ends - asked)
            try:
                for answer in self.stream(doing, method, request(), node, left):
                    if away_since:
                        back()
                    taken, away_since = True, 0.0
                    yield answer
                failure = refused(doing, "CANCELLED", "", node)
            except OutOfTimeError:
                raise
            except Failure as error:
                failure = error
            now = time.monotonic()
            # A call that lasted was taken, even if there was nothing to tell.
            taken = taken or now - asked > CONNECTED
            if failure.code != Exit.NOT_REACHABLE or not taken:
                raise failure
            if not away_since:
                away_since = now
                away()
            elif now - away_since > AWAY:
                raise failure
            time.sleep(0.1)

    def watch(
        self,
        doing: str,
        node: str = "",
        within: float | None = None,
        away: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
    ) -> Generator[pb.WatchStatusResponse, None, None]:
        """The status now and after every change, also across a restart of noded."""
        wanted = pb.WatchStatusRequest(node=node)
        yield from self.follow(doing, self.stub.WatchStatus, lambda: wanted, node, within, away, back)

    def _failure(self, doing: str, error: grpc.RpcError, node: str, of_mesh: bool) -> Failure:
        code = error.code()
        if code is grpc.StatusCode.UNAVAILABLE and not (of_mesh and _was_said(error)):
            return self._unreachable()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return refused(doing, code.name, self._too_old(), node)
        failure = refused(doing, code.name, error.details() or "", node)
        if of_mesh and failure.hint.startswith("nodectl status"):
            failure.hint = "nodectl map"
        return failure

    def _is_of_mesh(self, method: Callable[..., Any]) -> bool:
        return any(method is each for each in vars(self.mesh).values())

    def _too_old(self) -> str:
        try:
            found = self.stub.GetVersion(pb.GetVersionRequest(), timeout=CONNECTED)
        except grpc.RpcError:
            return f"this noded does not know the order; it is older than this nodectl ({VERSION})"
        build = f" (build {found.build})" if found.build else ""
        return (
            f"noded {found.version}{build} does not know the order; it is older than this nodectl ({VERSION})"
        )

    def _unreachable(self) -> Failure:
        """The kernel says more exactly than gRPC why a socket cannot be reached."""
        text = f"cannot reach noded at {self._path}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(self._path)
            except PermissionError:
                return Failure(f"{text}: permission denied", Exit.NOT_PERMITTED, "the same command with sudo")
            except ConnectionRefusedError:
                return Failure(f"{text}: nobody listens there", Exit.NOT_REACHABLE, "systemctl start noded")
            except OSError as error:
                cause = error.strerror or str(error)
                hint = "systemctl status noded, or another --socket"
                return Failure(f"{text}: {cause}", Exit.NOT_REACHABLE, hint)
        return Failure(f"{text}: it closed the connection", Exit.NOT_REACHABLE, "systemctl status noded")


def _was_said(error: grpc.RpcError) -> bool:
    return GRPC_SAYS.search(error.details() or "") is None
