"""Which services does the control socket have?"""

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from nodeapi.v1 import control_pb2, control_pb2_grpc
from noded.adapters.call_gate import FIRST_MESSAGE, Gate
from noded.adapters.control_desk import Desk
from noded.adapters.control_grpc import ControlService
from noded.adapters.mesh_relay import relay

LARGEST_MESSAGE = 1024 * 1024
IDLE = 300.0
"""Seconds after which a connection without a call under way is ended; clients open another unasked."""


def control_server(desk: Desk, patience: float = FIRST_MESSAGE, idle: float = IDLE) -> grpc.aio.Server:
    gate = Gate(desk.roles, desk.audit, desk.clock, str(desk.policy), patience)
    options = [
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
        ("grpc.max_connection_idle_ms", int(idle * 1000)),
    ]
    server = grpc.aio.server(interceptors=[gate], options=options)
    control_pb2_grpc.add_ControlServiceServicer_to_server(ControlService(desk), server)
    server.add_generic_rpc_handlers((relay(desk),))
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    service = control_pb2.DESCRIPTOR.services_by_name["ControlService"].full_name
    server.add_generic_rpc_handlers((Reflection((service, health.SERVICE_NAME)),))
    return server


class Reflection(grpc.GenericRpcHandler):
    """Tells which services there are; what it needs for that is loaded with the first question."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._handlers: list[Any] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if not details.method.startswith("/grpc.reflection."):
            return None
        if not self._handlers:
            from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

            servicer = reflection.aio.ReflectionServicer((*self._services, reflection.SERVICE_NAME))
            register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
            register(servicer, self)
        return next((found for each in self._handlers if (found := each.service(details))), None)

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """As a server has it: what is registered is kept here."""
        self._handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Newer stubs register a second time, by name."""
