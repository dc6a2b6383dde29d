"""Which function answers which path, and what becomes of its faults?"""

import asyncio
import inspect
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .http import HttpError, Request, Response, decode, respond
from .tracing import current, read_traceparent

Answer = Callable[..., Any]
logger = logging.getLogger("nodekit")
PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    answer: Answer


class Routes:
    """Called with a request, gives the response; whatever a route raises becomes one too."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._routes: list[Route] = []

    def __bool__(self) -> bool:
        return bool(self._routes)

    def add(self, method: str, path: str, answer: Answer) -> None:
        """`path` is literal but for `{name}`, which stands for one segment. Raises ValueError."""
        literal = PARAMETER.split(path)[::2]
        if not path.startswith("/") or any("{" in part or "}" in part for part in literal):
            raise ValueError(f'route: expected a path such as "/price/{{sku}}", got {path!r}')
        names = PARAMETER.findall(path)
        pattern = re.escape(literal[0])
        for name, part in zip(names, literal[1:], strict=True):
            pattern += f"(?P<{name}>[^/]+)" + re.escape(part)
        self._routes.append(Route(method.upper(), re.compile(pattern), answer))

    async def __call__(self, request: Request) -> Response:
        # Events that are published meanwhile belong to the request's trace.
        parent = request.headers.get("traceparent")
        current.set(read_traceparent(parent, request.headers.get("tracestate", "")) if parent else None)
        try:
            async with asyncio.timeout(self.timeout):
                return await self.dispatch(request)
        except HttpError as error:
            return Response(error.text + "\n", error.status)
        except TimeoutError:
            logger.warning("%s %s took longer than %g s", request.method, request.path, self.timeout)
            return Response("the answer took too long\n", 503)
        # A fault of one route is answered with 500 and must not end the node.
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return Response("internal error\n", 500)

    async def dispatch(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        for route in self._routes:
            found = route.pattern.fullmatch(request.path)
            if not found:
                continue
            if route.method != method:
                allowed.append(route.method)
                continue
            values = {name: decode(text) for name, text in found.groupdict().items()}
            result = route.answer(request, **values)
            return respond(await result if inspect.isawaitable(result) else result)
        if allowed:
            return Response("method not allowed\n", 405, headers={"Allow": ", ".join(sorted(set(allowed)))})
        return Response("not found\n", 404)
