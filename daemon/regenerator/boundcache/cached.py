"""Which functions remember every result for ever through functools, and may they forget?"""

import ast
from dataclasses import dataclass

from regenerator.boundcache.code import Code, Function, Module
from regenerator.boundcache.making import judge_making
from regenerator.boundcache.results import judge_callers, judge_result
from regenerator.boundcache.target import Unfit


@dataclass(frozen=True, eq=False)
class Cached:
    """`wrapper` is the expression to change: `functools.cache`, `cache` or `lru_cache(maxsize=None)`."""

    module: Module
    function: Function
    wrapper: ast.expr

    @property
    def label(self) -> str:
        owner = f"{self.function.owner.name}." if self.function.owner else ""
        return f"{self.module.path}:{owner}{self.function.name}()"


def cached_forms(code: Code, function: Function) -> list[Cached]:
    """The decorators of the function and `name = functools.cache(function)` at module level."""
    module = function.module
    found = [Cached(module, function, d) for d in function.node.decorator_list if _unbounded(module, d)]
    for other in code.modules:
        for statement in other.tree.body:
            match statement:
                case ast.Assign(value=ast.Call(func=wrapper, args=[ast.Name(id=name)])) if (
                    name == function.name
                    and function.outer is None
                    and function.owner is None
                    and (other is module or other.imported.get(name, ("",))[0] == module.name)
                    and _unbounded(other, wrapper)
                ):
                    found.append(Cached(other, function, wrapper))
    return found


def aliases(code: Code, name: str) -> list[str]:
    """Functions wrapped under this name: `quick = functools.cache(slow)` makes `quick` mean `slow`."""
    return [
        argument.id
        for module in code.modules
        for statement in module.tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        if any(isinstance(target, ast.Name) and target.id == name for target in statement.targets)
        for argument in statement.value.args
        if isinstance(argument, ast.Name)
    ]


def judge_cached(code: Code, cached: Cached) -> None:
    """Raises Unfit."""
    function = cached.function
    if not function.parameters and not function.receiver:
        raise Unfit(f"{function.name} has no parameters: it remembers one result")
    if isinstance(function.node, ast.AsyncFunctionDef):
        raise Unfit(f"{function.name} is async: its cache holds coroutines, which a bound does not cure")
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in function.own_nodes):
        raise Unfit(
            f"{function.name} is a generator: its cache holds generators, which a bound does not cure"
        )
    what = f"what {function.name} returns"
    for node in function.own_nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            judge_result(code, function, what, node.value)
    judge_making(code, function, what, function.node.body)
    judge_callers(code, function, what)


def lru_cache_name(module: Module) -> str:
    """The bound name of functools.lru_cache, or empty."""
    return next(
        (name for name, origin in module.imported.items() if origin == ("functools", "lru_cache")), ""
    )


def _unbounded(module: Module, wrapper: ast.expr) -> bool:
    match wrapper:
        case ast.Call(func=func, args=args, keywords=keywords) if _meaning(module, func) == "lru_cache":
            given = [*args[:1], *(k.value for k in keywords if k.arg == "maxsize")]
            return any(isinstance(value, ast.Constant) and value.value is None for value in given)
    return _meaning(module, wrapper) == "cache"


def _meaning(module: Module, expression: ast.expr) -> str:
    match expression:
        case ast.Name(id=name):
            origin, there = module.imported.get(name, ("", ""))
            return there if origin == "functools" else ""
        case ast.Attribute(value=ast.Name(id=base), attr=name):
            return name if module.imported.get(base) == ("functools", "") else ""
    return ""
