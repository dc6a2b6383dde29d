"""What does a node need to live under noded? Readiness, events, caches that can shrink, a graceful stop.

Standard library only, so that a node may carry it anywhere. Nothing here requires a running noded.
"""

from .bounds import PublishRefused
from .caches import Cache
from .context import Context, Reject, Retry
from .contracts import ContractBroken
from .events import NoMesh
from .http import HttpError, Limits, Request, Response
from .listen import Listen
from .node import Node
from .parcel import Receipt
from .publishing import BufferFull

__all__ = [
    "BufferFull",
    "Cache",
    "Context",
    "ContractBroken",
    "HttpError",
    "Limits",
    "Listen",
    "NoMesh",
    "Node",
    "PublishRefused",
    "Receipt",
    "Reject",
    "Request",
    "Response",
    "Retry",
]
