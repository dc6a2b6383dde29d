"""What kind of object is a stored value, and is a second copy as good as the first?

Texts, numbers and objects nobody changes are; locks, connections, collections to be filled and objects with
a state are not, and of an object of a class outside the release nobody here can tell.
"""

import ast
from collections.abc import Iterator

from regenerator.boundcache.code import Code, Function, Module, last_name
from regenerator.boundcache.flow import same_as
from regenerator.boundcache.target import Unfit
from regenerator.boundcache.uses import MUTATORS

IDENTITY = frozenset(
    "Lock RLock Semaphore BoundedSemaphore Event Condition Barrier Queue LifoQueue PriorityQueue "
    "SimpleQueue Future Task create_task ensure_future create_future Thread Process Timer "
    "ThreadPoolExecutor ProcessPoolExecutor open connect create_connection socket Session ClientSession "
    "Client AsyncClient Popen run_coroutine_threadsafe submit local ContextVar".split()
)
COLLECTIONS = frozenset("list dict set deque defaultdict Counter OrderedDict bytearray".split())
PLAIN = frozenset(
    "Decimal Fraction Path PurePath PurePosixPath UUID IPv4Address IPv6Address ZoneInfo Struct Pattern "
    "MappingProxyType SimpleNamespace".split()
)
"""Classes of the standard library whose objects are values."""
BUILDERS = frozenset("__init__ __post_init__ __new__".split())
DEPTH = 3


def judge_result(code: Code, function: Function, what: str, value: ast.expr, depth: int = DEPTH) -> None:
    """Raises Unfit when two copies of the value would not be as good as one."""
    for result in same_as(function, value):
        if isinstance(result, (ast.List, ast.Set, ast.Dict)) and not any(ast.iter_child_nodes(result)):
            raise Unfit(f"{what} is an empty collection, to be filled later")
        if isinstance(result, ast.Call):
            _judge_call(code, function, what, result)
            if depth:
                for inner, returned in _returned(code, last_name(result.func)):
                    judge_result(code, inner, what, returned, depth - 1)


def judge_callers(code: Code, function: Function, what: str) -> None:
    """Raises Unfit when a caller changes what the function gave it: then all share that change."""
    name = function.called_as
    for caller in code.callers_of(function):
        taken = {
            target.id
            for node in caller.own_nodes
            if isinstance(node, ast.Assign) and _is_call(node.value, name)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in caller.own_nodes:
            changed = changed_object(node)
            if changed is not None and (
                _is_call(changed, name) or (isinstance(changed, ast.Name) and changed.id in taken)
            ):
                where = f"{caller.module.path}:{changed.lineno}"
                raise Unfit(f"{what} is changed by {caller.name} ({where}): state, not a cache")


def changed_object(node: ast.AST) -> ast.expr | None:
    """What `o.a = 1`, `o[k] = 1`, `del o[k]` and `o.append(1)` change in place."""
    match node:
        case ast.Attribute(value=changed, ctx=ast.Store() | ast.Del()):
            return changed
        case ast.Subscript(value=changed, ctx=ast.Store() | ast.Del()):
            return changed
        case ast.Call(func=ast.Attribute(value=changed, attr=method)) if method in MUTATORS:
            return changed
    return None


def _judge_call(code: Code, function: Function, what: str, call: ast.Call) -> None:
    name = last_name(call.func)
    if name in IDENTITY:
        raise Unfit(f"{what} comes from {name}(): its identity matters or it must be closed")
    if name in COLLECTIONS and not call.args and not call.keywords:
        raise Unfit(f"{what} is an empty {name}, to be filled later")
    local = isinstance(call.func, ast.Name) and function.is_local(name) and name not in function.parameters
    nested = any(f.outer is function and f.name == name for f in function.module.functions)
    if local and not nested:
        raise Unfit(f"{what} is made by {name}(), a variable: what it makes cannot be known")
    owners = [module for module in code.modules if name in module.classes]
    for module in owners:
        if _has_state(code, module, module.classes[name]):
            raise Unfit(f"{what} is a {name}, which changes after it was made: state, not a cache")
    if name[:1].isupper() and not owners and name not in PLAIN and not name.isupper():
        raise Unfit(f"{what} is a {name}, a class outside the release that may hold a state")


def _returned(code: Code, name: str) -> Iterator[tuple[Function, ast.expr]]:
    for function in code.functions_named(name):
        for node in function.own_nodes:
            if isinstance(node, ast.Return) and node.value is not None:
                yield function, node.value


def _is_call(node: ast.expr, name: str) -> bool:
    node = node.value if isinstance(node, ast.Await) else node
    return isinstance(node, ast.Call) and last_name(node.func) == name


def _has_state(code: Code, module: Module, cls: ast.ClassDef) -> bool:
    """Do its methods change it, does it collect, or is one of its fields set from outside?"""
    if any(_frozen(decorator) for decorator in cls.decorator_list):
        return False
    methods = [function for function in module.functions if function.owner is cls]
    fields = {
        node.target.id
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for function in methods:
        for node in function.own_nodes:
            own = _own_field(function, node)
            fields.update([own] if own else [])
            if own and (function.name not in BUILDERS or _collects(function.module.parents.get(node))):
                return True
    if any(_collects(node) for node in cls.body):
        return True
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr in fields
        and last_name(node.value) != function.receiver
        for other in code.modules
        for function in other.functions
        for node in function.own_nodes
    )


def _own_field(function: Function, node: ast.AST) -> str:
    """`x` where a method changes `self.x`."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr if last_name(node.value) == function.receiver else ""
    changed = changed_object(node)
    if isinstance(changed, ast.Attribute) and last_name(changed.value) == function.receiver:
        return changed.attr
    return ""


def _collects(statement: ast.AST | None) -> bool:
    """`self.x = []`, `x: list[int] = field(default_factory=list)`."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        return False
    value = statement.value
    if isinstance(value, ast.List):
        return not value.elts
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.Call):
        factory = next((k.value for k in value.keywords if k.arg == "default_factory"), None)
        return (
            last_name(factory) in COLLECTIONS
            if factory
            else last_name(value) in COLLECTIONS and not value.args
        )
    return False


def _frozen(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and any(
        k.arg == "frozen" and isinstance(k.value, ast.Constant) and k.value.value is True
        for k in decorator.keywords
    )
