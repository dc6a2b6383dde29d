"""What does a node need to live under noded? Readiness, heartbeats, caches that can shrink, a graceful stop.

Standard library only, so that a node may carry it anywhere. Nothing here requires a running noded.
"""

from .caches import Cache
from .http import HttpError, Limits, Request, Response
from .listen import Listen
from .node import Node

__all__ = ["Cache", "HttpError", "Limits", "Listen", "Node", "Request", "Response"]
