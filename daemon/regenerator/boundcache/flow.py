"""Where does a value go to, and what was it made of?

Two small approximations inside one function: forward (which names hold something that came from a source)
and backward (which expressions a value was made from, taking the last assignment before the use).
"""

import ast
from collections.abc import Callable, Iterator

from regenerator.boundcache.code import Function

IsSource = Callable[[ast.AST], bool]


def reached(function: Function, is_source: IsSource) -> frozenset[str]:
    """Names that may hold what a source produced, by assignment, iteration or a method such as append."""
    names: set[str] = set()
    while True:
        before = len(names)
        for node in function.own_nodes:
            for targets, value in _movements(node):
                if touches(value, names, is_source):
                    names.update(name for target in targets for name in _roots(target))
        if len(names) == before:
            return frozenset(names)


def touches(value: ast.AST, names: set[str] | frozenset[str], is_source: IsSource) -> bool:
    return any(
        is_source(node) or (isinstance(node, ast.Name) and node.id in names) for node in ast.walk(value)
    )


def made_of(function: Function, value: ast.expr, at: ast.AST) -> tuple[ast.expr, ...]:
    """The expression and, through names, the expressions assigned last before it."""
    found: list[ast.expr] = []
    waiting: list[tuple[ast.expr, int]] = [(value, getattr(at, "lineno", 0))]
    seen: set[ast.expr] = set()
    while waiting:
        expression, line = waiting.pop()
        if expression in seen:
            continue
        seen.add(expression)
        found.append(expression)
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                waiting.extend(_last_assigned(function, node.id, line))
    return tuple(found)


def same_as(function: Function, value: ast.expr) -> Iterator[ast.expr]:
    """What the value is, not what it was computed from: through names, await, a choice and pairs."""
    waiting: list[tuple[ast.expr, int]] = [(value, value.lineno)]
    seen: set[ast.expr] = set()
    while waiting:
        expression, line = waiting.pop()
        if expression in seen:
            continue
        seen.add(expression)
        match expression:
            case ast.Await(value=inner) | ast.NamedExpr(value=inner):
                waiting.append((inner, line))
            case ast.Tuple(elts=several) | ast.BoolOp(values=several):
                waiting.extend((inner, line) for inner in several)
            case ast.IfExp(body=first, orelse=second):
                waiting.extend([(first, line), (second, line)])
            case ast.Name(id=name):
                waiting.extend(_last_assigned(function, name, line))
            case _:
                yield expression


def uses_parameters(function: Function, parts: tuple[ast.expr, ...]) -> bool:
    """A nested function may take its key from the parameters of those around it."""
    scope: Function | None = function
    names: set[str] = set()
    while scope is not None:
        names |= scope.parameters
        scope = scope.outer
    return any(isinstance(n, ast.Name) and n.id in names for part in parts for n in ast.walk(part))


def _last_assigned(function: Function, name: str, line: int) -> Iterator[tuple[ast.expr, int]]:
    before = [
        (node.lineno, value)
        for node in function.own_nodes
        for targets, value in _movements(node)
        if any(name in _roots(target) for target in targets)
        and isinstance(node, (ast.stmt, ast.NamedExpr))
        and node.lineno <= line
        and isinstance(value, ast.expr)
    ]
    plain = [(number, value) for number, value in before if number < line] or before
    if plain:
        number, value = max(plain, key=lambda pair: pair[0])
        yield value, number


def _movements(node: ast.AST) -> Iterator[tuple[list[ast.AST], ast.AST]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            yield list(targets), value
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield [target], value
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield [target], value
        case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
            yield [target], value
        case ast.comprehension(target=target, iter=value):
            yield [target], value
        case ast.withitem(context_expr=value, optional_vars=target) if target is not None:
            yield [target], value
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=target), args=args)):
            for arg in args:
                yield [target], arg


def _roots(node: ast.AST) -> set[str]:
    """The names that hold what is assigned: `a` in `a.b` and `a[0]`, both of `a, b`."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return {name for element in node.elts for name in _roots(element)}
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
