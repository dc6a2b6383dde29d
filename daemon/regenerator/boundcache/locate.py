"""What keeps the memory that was allocated at this line?

From the line to its function, forward to the dicts that its value is stored into, outward to callers that
store what the function returns, and to functools caches on the way. At most five calls outward.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from regenerator.boundcache.cached import Cached, aliases, cached_forms
from regenerator.boundcache.code import Code, Function, last_name
from regenerator.boundcache.flow import IsSource, reached, touches
from regenerator.boundcache.target import Unfit
from regenerator.boundcache.uses import MUTATORS
from regenerator.incident import Site

OUTWARD = 5
MAX_CALLERS = 8


@dataclass(frozen=True, eq=False)
class Kept:
    """The function stores a value that comes from the site into `container`."""

    function: Function
    container: ast.expr


def suspects(code: Code, site: Site) -> Iterator[Kept | Cached]:
    """Nearest first. Raises Unfit when the line is not in a function of the release."""
    module = code.module(site.file)
    if module is None:
        raise Unfit("the line is outside the sources of the release")
    function = module.function_at(site.line)
    if function is None:
        raise Unfit("the line runs at import time, not in a function")

    def at_site(node: ast.AST) -> bool:
        return isinstance(node, ast.expr) and node.lineno <= site.line <= (node.end_lineno or node.lineno)

    yield from _called_here(code, function, at_site)
    wave: list[tuple[Function, IsSource]] = [(function, at_site)]
    seen = {function}
    for _ in range(OUTWARD + 1):
        outward: list[tuple[Function, IsSource]] = []
        for inner, source in wave:
            yield from cached_forms(code, inner)
            names = reached(inner, source)
            yield from (Kept(inner, container) for container in _stores(inner, names, source))
            if _gives_back(inner, names, source):
                callers = [caller for caller in code.callers_of(inner) if caller not in seen][:MAX_CALLERS]
                seen.update(callers)
                outward += [(caller, _call_of(inner.called_as)) for caller in callers]
        wave = outward


def _called_here(code: Code, function: Function, at_site: IsSource) -> Iterator[Cached]:
    names = [last_name(n.func) for n in function.own_nodes if isinstance(n, ast.Call) and at_site(n)]
    for name in names:
        for meant in [name, *aliases(code, name)]:
            for callee in code.functions_named(meant):
                yield from cached_forms(code, callee)


def _call_of(name: str) -> IsSource:
    return lambda node: isinstance(node, ast.Call) and last_name(node.func) == name


def _gives_back(function: Function, names: frozenset[str], source: IsSource) -> bool:
    if function.called_as != function.name:
        return True  # what a constructor makes is the instance
    return any(
        node.value is not None and touches(node.value, names, source)
        for node in function.own_nodes
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom))
    )


def _stores(function: Function, names: frozenset[str], source: IsSource) -> Iterator[ast.expr]:
    for node in function.own_nodes:
        container, values = _stored(node)
        local = isinstance(container, ast.Name) and function.is_local(container.id)
        if container is not None and not local and any(touches(value, names, source) for value in values):
            yield container


def _stored(node: ast.AST) -> tuple[ast.expr | None, list[ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            spots = [target for target in targets if isinstance(target, ast.Subscript)]
            return (_container(spots[0]), [value, spots[0]]) if spots else (None, [])
        case (
            ast.AnnAssign(target=ast.Subscript() as spot, value=value)
            | ast.AugAssign(target=ast.Subscript() as spot, value=value)
        ):
            return _container(spot), [value] if value else []
        case ast.Call(func=ast.Attribute(value=inner, attr=method), args=args) if (
            method in MUTATORS or method == "__setitem__"
        ):
            return _container(inner), [*args, *(keyword.value for keyword in node.keywords)]
    return None, []


def _container(expression: ast.expr) -> ast.expr | None:
    """`X` in `X[k]`, `X[k][j]` and `X.setdefault(k, [])`; None when it is nothing with a name."""
    match expression:
        case ast.Subscript(value=inner) | ast.Call(func=ast.Attribute(value=inner)):
            return _container(inner)
        case ast.Name() | ast.Attribute(value=ast.Name()):
            return expression
    return None
