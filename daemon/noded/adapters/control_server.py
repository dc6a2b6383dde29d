"""Which services does the control socket have?"""

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nodeapi.v1 import control_pb2, control_pb2_grpc
from noded.adapters.call_gate import FIRST_MESSAGE, Gate
from noded.adapters.control_desk import Desk
from noded.adapters.control_grpc import ControlService

LARGEST_MESSAGE = 1024 * 1024


def control_server(desk: Desk, patience: float = FIRST_MESSAGE) -> grpc.aio.Server:
    gate = Gate(desk.roles, desk.audit, desk.clock, str(desk.policy), patience)
    server = grpc.aio.server(
        interceptors=[gate], options=[("grpc.max_receive_message_length", LARGEST_MESSAGE)]
    )
    control_pb2_grpc.add_ControlServiceServicer_to_server(ControlService(desk), server)
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    service = control_pb2.DESCRIPTOR.services_by_name["ControlService"].full_name
    reflection.enable_server_reflection((service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server
