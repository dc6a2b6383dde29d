"""Could a stored value be made again, as good as it was and without doing anything twice?"""

import ast
from collections.abc import Iterable, Iterator

from regenerator.boundcache.code import Code, Function, Module, last_name
from regenerator.boundcache.flow import same_as
from regenerator.boundcache.target import Unfit
from regenerator.boundcache.uses import MUTATORS

FRESH = frozenset(
    "uuid1 uuid4 urandom token_hex token_bytes token_urlsafe random randint randrange choice choices "
    "getrandbits randbytes shuffle SystemRandom".split()
)
IDENTITY = frozenset(
    "Lock RLock Semaphore BoundedSemaphore Event Condition Barrier Queue LifoQueue PriorityQueue "
    "SimpleQueue Future Task create_task ensure_future create_future Thread Process Timer "
    "ThreadPoolExecutor ProcessPoolExecutor open connect create_connection socket Session ClientSession "
    "Client AsyncClient Popen run_coroutine_threadsafe submit local ContextVar".split()
)
COLLECTIONS = frozenset("list dict set deque defaultdict Counter OrderedDict bytearray".split())
EFFECTS = frozenset(
    "commit publish send sendall sendto sendmsg post charge capture refund transfer pay enqueue".split()
)


def judge_making(code: Code, function: Function, what: str, parts: Iterable[ast.AST]) -> None:
    """Raises Unfit when making the value again would give another one, or do something twice."""
    calls = [n for part in parts for n in ast.walk(part) if isinstance(n, ast.Call)]
    for call in calls:
        drawn = call.args[0] if last_name(call.func) == "next" and call.args else None
        if isinstance(drawn, ast.Name) and not function.is_local(drawn.id):
            raise Unfit(f"{what} comes from next({drawn.id}): made again it would be another one")
    for name, depth in _reachable(code, {last_name(call.func) for call in calls}):
        via = "" if depth == 0 else ", in a function it calls"
        if name in FRESH:
            raise Unfit(f"{what} comes from {name}(){via}: made again it would be another one")
        if name in EFFECTS:
            raise Unfit(f"{what} is made by calling {name}(){via}: made again it would act twice")


def judge_result(code: Code, function: Function, what: str, value: ast.expr) -> None:
    """Raises Unfit when two copies of the value would not be as good as one."""
    for result in same_as(function, value):
        if isinstance(result, (ast.List, ast.Set, ast.Dict)) and not any(ast.iter_child_nodes(result)):
            raise Unfit(f"{what} is an empty collection, to be filled later")
        if not isinstance(result, ast.Call):
            continue
        name = last_name(result.func)
        if name in IDENTITY:
            raise Unfit(f"{what} comes from {name}(): its identity matters or it must be closed")
        if name in COLLECTIONS and not result.args and not result.keywords:
            raise Unfit(f"{what} is an empty {name}, to be filled later")
        for module in code.modules:
            if name in module.classes and _changes_itself(module, module.classes[name]):
                raise Unfit(f"{what} is a {name}, which changes after it was made: state, not a cache")


def _changes_itself(module: Module, cls: ast.ClassDef) -> bool:
    for function in module.functions:
        if function.owner is cls and function.name not in {"__init__", "__post_init__", "__new__"}:
            for node in function.own_nodes:
                match node:
                    case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()) if name == function.receiver:
                        return True
                    case ast.Call(
                        func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=name)), attr=method)
                    ) if name == function.receiver and method in MUTATORS:
                        return True
    return False


def _reachable(code: Code, called: set[str]) -> Iterator[tuple[str, int]]:
    """Names called, and called by functions of the release up to three calls deep."""
    seen: set[str] = set()
    wave = set(called)
    for depth in range(4):
        yield from ((name, depth) for name in sorted(wave))
        seen |= wave
        wave = {n for name in wave for f in code.functions_named(name) for n in f.calls} - seen
