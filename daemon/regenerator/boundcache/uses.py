"""How is a dict used, everywhere in the release?

Every reference is put into one kind; whatever is not understood is `HANDED_OUT`, which no judge accepts.
"""

import ast
from dataclasses import dataclass
from enum import Enum

from regenerator.boundcache.code import Code, Function, Module, last_name
from regenerator.boundcache.target import Target, is_reference
from regenerator.sources import is_test

MUTATORS = frozenset(
    "append appendleft add extend insert update remove discard pop popleft popitem setdefault clear "
    "write".split()
)


ITERATING = frozenset(
    "list tuple set sorted dict sum min max any all iter next enumerate map filter zip".split()
)


class Kind(Enum):
    DEFINED = "is defined"
    READ = "is read"
    TESTED = "is searched"
    STORED = "is written"
    FORGOTTEN = "loses entries on purpose"
    ORDERED = "is reordered"
    GROWN = "has values that grow after they were stored"
    TAKEN = "gives entries away by pop: pending work, not a cache"
    ITERATED = "is iterated: its entries mean something together"
    SIZED = "has its size looked at"
    REPORTED = "has its size reported"
    REBOUND = "is bound again"
    MERGED = "takes over whole mappings"
    HANDED_OUT = "is returned or handed out"


METHODS = {
    "get": Kind.READ,
    "__getitem__": Kind.READ,
    "setdefault": Kind.STORED,
    "__setitem__": Kind.STORED,
    "__contains__": Kind.TESTED,
    "pop": Kind.TAKEN,
    "popitem": Kind.TAKEN,
    "clear": Kind.FORGOTTEN,
    "move_to_end": Kind.ORDERED,
    "update": Kind.MERGED,
    "items": Kind.ITERATED,
    "keys": Kind.ITERATED,
    "values": Kind.ITERATED,
    "copy": Kind.ITERATED,
    "__iter__": Kind.ITERATED,
    "__len__": Kind.SIZED,
}


@dataclass(frozen=True, eq=False)
class Use:
    """`key` and `value` only where the kind has them; `node` is the whole expression or statement."""

    kind: Kind
    module: Module
    function: Function | None
    node: ast.AST
    key: ast.expr | None = None
    value: ast.expr | None = None

    @property
    def where(self) -> str:
        return f"{self.module.path}:{getattr(self.node, 'lineno', 0)}"


def uses_of(code: Code, target: Target) -> tuple[Use, ...]:
    """Tests are left out: they may look into anything, and they are run anyway."""
    return tuple(
        _use(module, target, node)
        for module in code.modules
        if not is_test(module.path)
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Name, ast.Attribute)) and is_reference(target, module, node)
    )


def _use(module: Module, target: Target, node: ast.Name | ast.Attribute) -> Use:
    parent = module.parents.get(node)
    function = module.function_of(node)
    declared = isinstance(parent, ast.AnnAssign) and parent.target is node and parent.value is None
    if parent is target.definition or declared:
        return Use(Kind.DEFINED, module, function, node)
    if isinstance(node.ctx, (ast.Store, ast.Del)):
        kind = Kind.MERGED if isinstance(parent, ast.AugAssign) else Kind.REBOUND
        return Use(kind, module, function, node)
    match parent:
        case ast.Subscript(value=value) if value is node:
            return _subscript(module, function, parent)
        case ast.Attribute(value=value) if value is node:
            return _method(module, function, parent)
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[right], left=left) if right is node:
            return Use(Kind.TESTED, module, function, parent, key=left)
        case ast.Call(func=func) if last_name(func) in {"len", "bool"}:
            kind = Kind.REPORTED if function and is_reported(module, parent) else Kind.SIZED
            return Use(kind, module, function, parent)
        case ast.If() | ast.While() | ast.IfExp() | ast.BoolOp() | ast.UnaryOp() | ast.Assert():
            return Use(Kind.SIZED, module, function, node)
        case ast.Call(func=func) if last_name(func) in ITERATING:
            return Use(Kind.ITERATED, module, function, parent)
        case ast.For() | ast.AsyncFor() | ast.comprehension() | ast.Starred():
            return Use(Kind.ITERATED, module, function, node)
    return Use(Kind.HANDED_OUT, module, function, node)


def is_reported(module: Module, number: ast.expr) -> bool:
    """Is the number only returned, or put into something that is?"""
    node: ast.AST = number
    parent = module.parents.get(node)
    while isinstance(parent, (ast.Dict, ast.Tuple, ast.List, ast.JoinedStr, ast.FormattedValue)):
        node, parent = parent, module.parents.get(parent)
    return isinstance(parent, ast.Return)


def _subscript(module: Module, function: Function | None, node: ast.Subscript) -> Use:
    parent = module.parents.get(node)
    match node.ctx, parent:
        case ast.Del(), _:
            return Use(Kind.FORGOTTEN, module, function, node, key=node.slice)
        case ast.Store(), ast.Assign(targets=[target], value=value) if target is node:
            return Use(Kind.STORED, module, function, parent, key=node.slice, value=value)
        case ast.Store(), ast.Assign(targets=[*_], value=value):
            return Use(Kind.STORED, module, function, parent, key=node.slice, value=value)
        case ast.Store(), ast.AnnAssign(value=value):
            return Use(Kind.STORED, module, function, parent, key=node.slice, value=value)
        case ast.Store(), _:
            return Use(Kind.GROWN, module, function, node, key=node.slice)
    if _grows(module, node):
        return Use(Kind.GROWN, module, function, node, key=node.slice)
    return Use(Kind.READ, module, function, node, key=node.slice)


def _method(module: Module, function: Function | None, node: ast.Attribute) -> Use:
    call = module.parents.get(node)
    if not (isinstance(call, ast.Call) and call.func is node):
        return Use(Kind.HANDED_OUT, module, function, node)
    key, value, *_ = [*call.args, None, None]
    kind = METHODS.get(node.attr, Kind.HANDED_OUT)
    if node.attr in {"get", "__getitem__", "setdefault"} and _grows(module, call):
        kind = Kind.GROWN
    elif node.attr == "pop" and isinstance(module.parents.get(call), ast.Expr):
        kind = Kind.FORGOTTEN
    return Use(kind, module, function, call, key=key, value=value)


def _grows(module: Module, node: ast.expr) -> bool:
    """`X[k].append(v)`, `X[k][j] = v`, `X[k].n += 1`: the stored value is a state of its own."""
    parent = module.parents.get(node)
    match parent:
        case ast.Attribute(attr=name, value=value) if value is node:
            if isinstance(parent.ctx, (ast.Store, ast.Del)):
                return True
            call = module.parents.get(parent)
            return name in MUTATORS and isinstance(call, ast.Call) and call.func is parent
        case ast.Subscript(value=value) if value is node:
            return isinstance(parent.ctx, (ast.Store, ast.Del)) or _grows(module, parent)
    return False
