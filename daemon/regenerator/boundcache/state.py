"""Do stored values live on, depend on the ones before or change after they were stored?"""

import ast

from regenerator.boundcache.code import Function
from regenerator.boundcache.results import changed_object
from regenerator.boundcache.target import Target, Unfit, is_reference
from regenerator.boundcache.uses import Use


def depends_on_former(target: Target, store: Use, function: Function) -> bool:
    """`n = X.get(k)` ... `X[k] = n + 1`: the name may still hold what was read."""
    assert store.value is not None
    if isinstance(store.value, ast.Name):
        return False
    used = {node.id for node in ast.walk(store.value) if isinstance(node, ast.Name)}
    return bool(used & holding(target, function))


def holding(target: Target, function: Function) -> set[str]:
    """Names that were assigned straight from the target."""
    module = function.module
    return {
        name.id
        for node in function.own_nodes
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None
        if any(is_reference(target, module, inner) for inner in ast.walk(node.value))
        for spot in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for name in ast.walk(spot)
        if isinstance(name, ast.Name)
    }


def stays_unchanged(target: Target, store: Use, function: Function) -> None:
    """What was stored or read must not be changed afterwards: then it is state."""
    read = holding(target, function)
    stored = {store.value.id} if isinstance(store.value, ast.Name) else set()
    stored_at = getattr(store.node, "lineno", 0)
    for node in function.own_nodes:
        changed = changed_object(node)
        name = changed.id if isinstance(changed, ast.Name) else ""
        line = getattr(node, "lineno", 0)
        if name and (
            (name in read and not _replaced(function, name, node)) or (name in stored and line > stored_at)
        ):
            raise Unfit(f"{target.name} keeps values that are changed later ({function.module.path}:{line})")


def _replaced(function: Function, name: str, node: ast.AST) -> bool:
    """Was the name bound to something new, not read from the target, before this line and after the read?"""
    line = getattr(node, "lineno", 0)
    bound = [
        n.lineno
        for n in function.own_nodes
        if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) and n.lineno < line
    ]
    return len(bound) > 1
