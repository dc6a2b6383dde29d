"""Is this dict a cache that may forget?

Only when every entry is stored under a key made from a request, made again on a miss by the function that
looked for it, and nobody depends on all entries being there. Anything else raises Unfit with the reason.
"""

import ast

from regenerator.boundcache.code import Code, Function, last_name
from regenerator.boundcache.flow import made_of, uses_parameters
from regenerator.boundcache.making import EFFECTS, FRESH, judge_making
from regenerator.boundcache.outside import Outside
from regenerator.boundcache.results import judge_callers, judge_result
from regenerator.boundcache.state import depends_on_former, holding, stays_unchanged
from regenerator.boundcache.target import Target, Unfit, is_reference
from regenerator.boundcache.uses import Kind, Use, is_reported, uses_of
from regenerator.sources import is_test

REFUSED = (
    Kind.REBOUND, Kind.HANDED_OUT, Kind.GROWN, Kind.MERGED, Kind.TAKEN, Kind.ITERATED, Kind.SIZED,
)  # fmt: skip


def judge(code: Code, target: Target) -> None:
    """Raises Unfit."""
    uses = uses_of(code, target)
    for use in uses:
        if use.kind in REFUSED:
            raise Unfit(f"{target.name} {use.kind.value} ({use.where})")
        if use.kind is Kind.ORDERED and target.base == "dict":
            raise Unfit(f"{target.name} {use.kind.value} ({use.where})")
        if use.kind is Kind.FORGOTTEN and not _stands_missing(use):
            raise Unfit(
                f"{target.name} is expected to hold what is removed ({use.where}): state, not a cache"
            )
        if use.kind is Kind.REPORTED:
            _only_reported(code, target, use)
    _not_exported(target)
    stores = [use for use in uses if use.kind is Kind.STORED]
    reads = [use for use in uses if use.kind in (Kind.READ, Kind.TESTED)]
    if not stores:
        raise Unfit(f"{target.name} is never written by a single key")
    for store in stores:
        function = inside(target, store)
        _key(target, store, function)
        what = f"the value stored in {target.name}"
        parts = _parts(target, store, function)
        assert store.value is not None
        judge_result(code, function, what, store.value)
        judge_making(code, function, what, parts, target)
        judge_callers(code, function, what)
        _alone(code, target, store, function)
        stays_unchanged(target, store, function)
    _filled_on_miss(target, stores, reads)


def _only_reported(code: Code, target: Target, use: Use) -> None:
    """A size may be told to somebody; nothing in the release may depend on it."""
    assert use.function is not None
    name = use.function.name
    asked = [
        (module, node)
        for module in code.modules
        if not is_test(module.path)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and last_name(node.func) == name
    ]
    special = name.startswith("__") or any(
        "property" in last_name(d) for d in use.function.node.decorator_list
    )
    if special or not all(is_reported(module, call) for module, call in asked):
        raise Unfit(f"{target.name} {Kind.SIZED.value} ({use.where})")


def _alone(code: Code, target: Target, store: Use, function: Function) -> None:
    """Beside the store, nothing is done that must not be done again on a later miss."""
    block = _on_a_miss(target, store, function)
    for node in (node for statement in block for node in ast.walk(statement)):
        if isinstance(node, ast.Call) and last_name(node.func) in EFFECTS:
            raise Unfit(
                f"{target.name} is written where {last_name(node.func)}() acts: it must not act twice"
            )
    Outside(code, f"what is done when {target.name} misses", target, clocks=True).judge(function, block)


def _on_a_miss(target: Target, store: Use, function: Function) -> list[ast.stmt]:
    """The branch that runs when the key was not found, else the whole function."""
    held = holding(target, function)

    def asks(tests: list[ast.stmt] | list[ast.expr]) -> bool:
        nodes = [node for test in tests for node in ast.walk(test)]
        return any(
            is_reference(target, store.module, n) or (isinstance(n, ast.Name) and n.id in held) for n in nodes
        )

    node: ast.AST | None = store.node
    while node is not None and node is not function.node:
        parent = store.module.parents.get(node)
        if isinstance(parent, ast.If) and asks([parent.test]):
            return parent.body if node in parent.body else parent.orelse
        tried = store.module.parents.get(parent) if isinstance(parent, ast.ExceptHandler) else None
        if isinstance(parent, ast.ExceptHandler) and isinstance(tried, ast.Try) and asks(tried.body):
            return parent.body
        node = parent
    return function.node.body


def inside(target: Target, use: Use) -> Function:
    if use.function is None:
        raise Unfit(f"{target.name} is written at import time ({use.where}): a registry")
    return use.function


def _not_exported(target: Target) -> None:
    for node in target.module.tree.body:
        if isinstance(node, ast.Assign) and any(last_name(t) == "__all__" for t in node.targets):
            names = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
            if target.owner is None and target.name in names:
                raise Unfit(f"{target.name} is exported by __all__: others may depend on its entries")


def _key(target: Target, store: Use, function: Function) -> None:
    if store.key is None:
        raise Unfit(f"{target.name} is written without a key that can be seen ({store.where})")
    parts = made_of(function, store.key, store.node)
    if not uses_parameters(function, parts):
        raise Unfit(
            f"{target.name} is written under a key that does not come from a parameter ({store.where})"
        )
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Call) and last_name(node.func) in FRESH:
                raise Unfit(f"{target.name} is written under a fresh key each time ({store.where}): a record")


def _parts(target: Target, store: Use, function: Function) -> tuple[ast.expr, ...]:
    if store.value is None:
        raise Unfit(f"{target.name} is written without a value of its own ({store.where})")
    parts = made_of(function, store.value, store.node)
    nodes = [node for part in parts for node in ast.walk(part)]
    if any(isinstance(node, ast.Lambda) for node in parts) or _names_function(function, store.value):
        raise Unfit(f"{target.name} keeps functions ({store.where}): a registry")
    if not any(
        isinstance(n, (ast.Call, ast.BinOp, ast.JoinedStr, ast.ListComp, ast.DictComp)) for n in nodes
    ):
        raise Unfit(f"{target.name} keeps what a caller handed in ({store.where}): it cannot be made again")
    if not uses_parameters(function, parts):
        raise Unfit(f"the value stored in {target.name} is not made from the parameters ({store.where})")
    module = store.module
    if any(is_reference(target, module, node) for node in nodes) or depends_on_former(
        target, store, function
    ):
        raise Unfit(f"{target.name} accumulates: a stored value depends on the one before ({store.where})")
    return parts


def _names_function(function: Function, value: ast.expr) -> bool:
    if not isinstance(value, ast.Name):
        return False
    nested = {
        n.name
        for n in function.own_nodes
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    return value.id in nested


def _filled_on_miss(target: Target, stores: list[Use], reads: list[Use]) -> None:
    writers = {store.function for store in stores if store.function}
    readers = {read.function for read in reads}
    lookups = [use for use in [*reads, *stores] if _guarded(use)]
    if not lookups:
        raise Unfit(f"{target.name} is written but never looked up by .get, in or try: a record, not a cache")
    names = {writer.name for writer in writers}
    for read in reads:
        reader = read.function
        if reader is None:
            raise Unfit(f"{target.name} is read at import time ({read.where})")
        if reader not in writers and not (reader.calls & names):
            raise Unfit(
                f"{target.name} is read in {reader.name} without making a missing entry ({read.where})"
            )
        if not any(use.function is reader for use in lookups):
            raise Unfit(f"{target.name} is expected to hold the key in {reader.name} ({read.where})")
    for store in stores:
        writer = store.function
        if (
            writer
            and writer not in readers
            and not _guarded(store)
            and not any(reader and writer.name in reader.calls for reader in readers)
        ):
            raise Unfit(
                f"{target.name} is written in {writer.name} without looking for the key first ({store.where})"
            )
    if all(read.kind is Kind.TESTED for read in reads) and not any(_guarded(store) for store in stores):
        raise Unfit(f"{target.name} is only asked whether it has a key: a set of what was seen, not a cache")


def _guarded(use: Use) -> bool:
    """Does this use stand a missing key?"""
    if use.kind is Kind.TESTED:
        return True
    if isinstance(use.node, ast.Call):
        return last_name(use.node.func) in {"get", "setdefault"}
    return use.kind is Kind.READ and _tried(use)


def _stands_missing(use: Use) -> bool:
    """Does this removal stand a missing key?"""
    if isinstance(use.node, ast.Call):
        return last_name(use.node.func) != "pop" or len(use.node.args) > 1 or _tried(use)
    tested = [
        node
        for node in (use.function.own_nodes if use.function else ())
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn))
    ]
    return bool(tested) or _tried(use)


def _tried(use: Use) -> bool:
    child, parent = use.node, use.module.parents.get(use.node)
    while parent is not None and not isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if isinstance(parent, ast.Try) and child in parent.body:
            caught = {last_name(n) for h in parent.handlers for n in ([h.type] if h.type else [])}
            if caught & {"KeyError", "LookupError"}:
                return True
        child, parent = parent, use.module.parents.get(parent)
    return False
