"""How does a program come into a running instance, and what is told of its end?"""

import re
from collections.abc import Sequence
from typing import Any

import grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_desk import INSTANCE, Desk, named, refuse
from noded.model.instance import Instance, Phase, Role
from noded.ports import NotFound, PortError, TimedOut, Unavailable

USUAL_TIME = 60.0
LONGEST_TIME = 600.0
MOST_WORDS = 512
"""As many as the launcher takes."""
LONGEST_WORDS = 64 * 1024
TIMED_OUT = 124
"""As timeout(1) says it."""
UNKNOWN = 255
CODES = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
}


async def run(desk: Desk, request: pb.ExecRequest, context: Any) -> pb.ExecResponse:
    problem = _problem(request)
    if problem:
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, problem)
    instance = await _chosen(desk, request, context)
    try:
        launch = desk.launch(instance, tuple(request.argv))
        ran = await desk.processes.run(launch, request.timeout or USUAL_TIME, into=instance.id)
    except PortError as error:
        # The launcher names a run by a number that nobody else knows.
        text = re.sub(r"^cannot run \S+: ", "", str(error))
        await refuse(context, CODES.get(type(error), grpc.StatusCode.FAILED_PRECONDITION), text)
    return pb.ExecResponse(
        instance=instance.id,
        exit_code=TIMED_OUT if ran.timed_out else exit_code(ran.status),
        output=ran.output.encode(errors="replace").decode(),
        truncated=ran.truncated,
        seconds=ran.seconds,
        timed_out=ran.timed_out,
    )


def exit_code(status: str) -> int:
    """As a shell tells it; 255 when it is not known."""
    found = re.fullmatch(r"(code|signal) (\d{1,3})", status)
    if found:
        return int(found[2]) + (128 if found[1] == "signal" else 0)
    return 128 + 9 if status == "out of memory" else UNKNOWN


def _problem(request: pb.ExecRequest) -> str:
    if not request.argv or not request.argv[0]:
        return "no program was named"
    if len(request.argv) > MOST_WORDS or sum(map(len, request.argv)) > LONGEST_WORDS:
        return f"the command is too long: at most {MOST_WORDS} words and {LONGEST_WORDS // 1024} KiB"
    if any("\0" in word for word in request.argv):
        return "the command has a zero byte in it"
    # written so that NaN is refused too
    if not 0 <= request.timeout <= LONGEST_TIME:
        return f"a timeout of {request.timeout:g} s: expected at most {LONGEST_TIME:g} s"
    return ""


async def _chosen(desk: Desk, request: pb.ExecRequest, context: Any) -> Instance:
    await named(request.node, context)
    if request.instance and not INSTANCE.fullmatch(request.instance):
        text = f"not an instance's name: {request.instance[:48]!r}"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    node = desk.view().nodes.get(request.node)
    if node is None:
        await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
    if request.instance and request.instance not in node.instances:
        text = f"no such instance of {request.node}: {request.instance}"
        await refuse(context, grpc.StatusCode.NOT_FOUND, text)
    alive = [each for each in node.instances.values() if each.process is not None]
    meant = [each for each in alive if each.id == request.instance] if request.instance else _by_age(alive)
    if not meant:
        text = f"no instance of {request.node} runs: nodectl status {request.node}"
        await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, text)
    return meant[0]


def _by_age(alive: Sequence[Instance]) -> Sequence[Instance]:
    """What serves comes first, then what is ready, the oldest of each first."""
    return sorted(
        alive, key=lambda each: (each.role is not Role.STABLE, each.phase is not Phase.READY, each.created_at)
    )
