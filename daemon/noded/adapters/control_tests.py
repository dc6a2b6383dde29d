"""How are a node's tests asked for, and how is it told that they cannot be run?"""

from typing import Any

import grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_desk import Desk, refuse
from noded.adapters.control_releases import digest_meant
from noded.ports import NotFound, PortError, TimedOut, Unavailable

CODES = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
}


async def run(desk: Desk, request: pb.RunTestsRequest, context: Any) -> pb.RunTestsResponse:
    digest = await digest_meant(desk, request, context)
    try:
        found = await desk.trials.run(request.node, digest)
    except PortError as error:
        await refuse(context, CODES.get(type(error), grpc.StatusCode.FAILED_PRECONDITION), str(error))
    return pb.RunTestsResponse(
        version=found.version,
        passed=found.passed,
        output=found.output,
        seconds=found.seconds,
        detail=found.detail,
    )
