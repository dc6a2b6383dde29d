"""Does what makes a value stay inside the node?

Every call must lead into the release, where it is followed, or to something known to be harmless (known.py).
What leads anywhere else may act on the world, and would act again when the value is made again.
"""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from regenerator.boundcache import known
from regenerator.boundcache.code import Code, Function, Module, last_name
from regenerator.boundcache.flow import reached, same_as
from regenerator.boundcache.results import BUILDERS
from regenerator.boundcache.target import Target, Unfit, is_reference
from regenerator.sources import is_test

SELECT = re.compile(
    r"\s*select\b(?!.*(;\s*\S|\binto\b|\bfor\s+(update|share)\b|nextval|setval))", re.I | re.S
)
OWN = (
    ast.Call, ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.BinOp, ast.Constant,
    ast.JoinedStr, ast.Lambda, ast.GeneratorExp,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands; `depth` counts the calls from the function that keeps the value."""

    module: Module
    function: Function | None
    depth: int = 0

    def is_local(self, name: str) -> bool:
        return self.function is not None and self.function.is_local(name)


@dataclass(frozen=True, slots=True)
class Outside:
    """`target` is the dict that is kept, None for a cached function; `clocks`: the time may be asked for."""

    code: Code
    what: str
    target: Target | None = None
    clocks: bool = False
    seen: set[Function] = field(default_factory=set)

    def judge(self, function: Function, parts: Iterable[ast.AST]) -> None:
        """Raises Unfit for the first call that may act outside the node."""
        self._parts(Scope(function.module, function), parts)

    def _parts(self, scope: Scope, parts: Iterable[ast.AST]) -> None:
        for part in parts:
            for node in _running(part):
                raised = isinstance(scope.module.parents.get(node), ast.Raise)
                if isinstance(node, ast.Call) and not raised:
                    self._call(scope, node)

    def _call(self, scope: Scope, call: ast.Call) -> None:
        dotted = _imported(scope, call.func)
        match call.func:
            case ast.Lambda():
                return
            case _ if dotted and not self._in_release(dotted):
                self._imported_call(scope, call, dotted)
            case ast.Name(id=name):
                self._name(scope, call, name)
            case ast.Attribute(value=base, attr=name):
                self._method(scope, call, base, name, bool(dotted))
            case _:
                self._unknown(scope, call)

    def _imported_call(self, scope: Scope, call: ast.Call, dotted: str) -> None:
        if dotted in known.CLOCKS:
            timed = scope.depth == 0 and scope.function is not None and _expires(scope.function)
            if not (self.clocks or timed):
                raise Unfit(f"{self.what} comes from {dotted}(): made again it would be another one")
        elif not _harmless(dotted):
            self._unknown(scope, call)
        self._arguments(scope, call)

    def _name(self, scope: Scope, call: ast.Call, name: str) -> None:
        variable = scope.is_local(name) and not _nested(scope, name)
        if not variable and self._release(scope, name):
            return
        if variable:
            self._variable(scope, call, name)
        elif name == "open":
            self._open(scope, call, 1)
        elif name == "next" and call.args and self._made_here(scope, call.args[0]):
            return
        elif name in known.PURE_BUILTINS and hasattr(builtins, name) and name != "next":
            self._arguments(scope, call)
        else:
            self._unknown(scope, call)

    def _variable(self, scope: Scope, call: ast.Call, name: str) -> None:
        assert scope.function is not None
        holder: Function | None = scope.function
        while holder is not None and name not in holder.locals:
            holder = holder.outer
        if holder is not None and name in holder.parameters:
            given = list(_given(self.code, holder, name))
            if not given:
                self._unknown(scope, call)
            for there, value in given:
                self._reference(Scope(there.module, there.function, scope.depth + 1), value)
            return
        meant = list(same_as(scope.function, call.func))
        if not meant or any(isinstance(value, ast.Name) for value in meant):
            self._unknown(scope, call)
        for value in meant:
            self._reference(scope, value)

    def _method(self, scope: Scope, call: ast.Call, base: ast.expr, name: str, in_release: bool) -> None:
        if isinstance(base, (ast.Constant, ast.JoinedStr)):
            return
        if self.target is not None and is_reference(self.target, scope.module, base):
            return
        awaited = isinstance(scope.module.parents.get(call), ast.Await)
        followed = self._release(scope, name)
        if name == "open":
            self._open(scope, call, 0)
        elif name in known.QUERIES:
            self._query(scope, call)
        elif name in known.CHANGING:
            if not (followed or self._may_change(scope, base, name)):
                raise Unfit(
                    f"{self.what} is made where {ast.unparse(call.func)}() changes what outlives the call "
                    f"({_where(scope, call)})"
                )
        elif not (followed or _harmless_method(call, name, awaited)):
            own = name in known.READING_OWN and self._made_here(scope, base)
            if not own and not (name == "__init__" and isinstance(base, ast.Call)):
                self._unknown(scope, call)
        self._arguments(scope, call)

    def _may_change(self, scope: Scope, base: ast.expr, name: str) -> bool:
        function = scope.function
        if self._made_here(scope, base):
            return True
        if function is None:
            return False
        if function.name in BUILDERS and isinstance(base, ast.Attribute):
            return last_name(base.value) == function.receiver
        parameter = isinstance(base, ast.Name) and base.id in function.parameters
        return parameter and scope.depth > 0 and name in known.FILLING

    def _made_here(self, scope: Scope, value: ast.expr) -> bool:
        """Did this function make the object, so that nobody else holds it?"""
        if isinstance(value, OWN):
            return True
        if scope.function is None or not isinstance(value, ast.Name):
            return False
        if any(
            isinstance(node, ast.withitem) and last_name(node.optional_vars or node) == value.id
            for node in scope.function.own_nodes
        ):
            return True
        meant = list(same_as(scope.function, value))
        return bool(meant) and all(isinstance(one, OWN) for one in meant)

    def _open(self, scope: Scope, call: ast.Call, place: int) -> None:
        given = [*call.args[place : place + 1], *(k.value for k in call.keywords if k.arg == "mode")]
        if any(not isinstance(mode, ast.Constant) or set(str(mode.value)) - set("rbt") for mode in given):
            self._unknown(scope, call)

    def _query(self, scope: Scope, call: ast.Call) -> None:
        match call.args:
            case [ast.Constant(value=str(text)), *_] if SELECT.match(text):
                return
        self._unknown(scope, call)

    def _arguments(self, scope: Scope, call: ast.Call) -> None:
        """Functions that are handed on will be called."""
        for value in [*call.args, *(keyword.value for keyword in call.keywords)]:
            dotted = _imported(scope, value)
            if dotted and not self._in_release(dotted):
                if not _harmless(dotted) and not last_name(value).isupper():
                    self._unknown(scope, call, value)
            elif isinstance(value, ast.Attribute) or (
                isinstance(value, ast.Name) and (not scope.is_local(value.id) or _nested(scope, value.id))
            ):
                self._release(scope, last_name(value))

    def _reference(self, scope: Scope, value: ast.expr) -> None:
        match value:
            case ast.Name() | ast.Attribute():
                call = ast.copy_location(ast.Call(func=value, args=[], keywords=[]), value)
                self._call(scope, call)
            case ast.Lambda(body=body):
                self._parts(scope, [body])
            case ast.Call(func=func) if _imported(scope, func) == "functools.partial":
                self._arguments(scope, value)
                self._reference(scope, value.args[0])
            case _:
                self._unknown(scope, value)

    def _release(self, scope: Scope, name: str) -> bool:
        """Follow everything of that name in the release; False when there is nothing."""
        functions = [f for f in self.code.functions_named(name) if not is_test(f.module.path)]
        classes = [(module, module.classes[name]) for module in self.code.modules if name in module.classes]
        for function in functions:
            self._function(scope, function)
        for module, cls in classes:
            self._class(scope, module, cls)
        return bool(functions or classes)

    def _function(self, scope: Scope, function: Function) -> None:
        if function in self.seen:
            return
        self.seen.add(function)
        inner = Scope(function.module, function, scope.depth + 1)
        self._parts(inner, function.node.body)
        for decorator in function.node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not (isinstance(called, ast.Attribute) and called.attr in {"setter", "getter"}):
                self._reference(Scope(function.module, function.outer, scope.depth + 1), called)

    def _class(self, scope: Scope, module: Module, cls: ast.ClassDef) -> None:
        for function in module.functions:
            if function.owner is cls and function.name in BUILDERS:
                self._function(scope, function)
        for base in cls.bases:
            name = last_name(base.value if isinstance(base, ast.Subscript) else base)
            if name not in known.BASES and not any(name in other.classes for other in self.code.modules):
                self._unknown(scope, base)
            for other in self.code.modules:
                if name in other.classes and other.classes[name] is not cls:
                    self._class(scope, other, other.classes[name])

    def _in_release(self, dotted: str) -> bool:
        return dotted.startswith(".") or any(self.code.named(part) for part in dotted.split(".")[:-1])

    def _unknown(self, scope: Scope, node: ast.expr, named: ast.expr | None = None) -> None:
        func = named or (node.func if isinstance(node, ast.Call) else node)
        raise Unfit(
            f"{self.what}: cannot know what {ast.unparse(func)}() does outside the release "
            f"({_where(scope, node)})"
        )


def _where(scope: Scope, node: ast.expr) -> str:
    return f"{scope.module.path}:{node.lineno}"


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Nested functions run when they are called; lambdas may run at once."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def _nested(scope: Scope, name: str) -> bool:
    return any(f.name == name and f.outer is not None for f in scope.module.functions)


def _imported(scope: Scope, value: ast.expr) -> str:
    """`urllib.parse.quote` of what the module calls `quote`, `parse.quote` or all of it; else empty."""
    attributes: list[str] = []
    while isinstance(value, ast.Attribute):
        attributes.insert(0, value.attr)
        value = value.value
    if not isinstance(value, ast.Name) or value.id not in scope.module.imports:
        return ""
    own = scope.function.own_nodes if scope.function else ()
    stored = any(isinstance(n, ast.Name) and n.id == value.id and isinstance(n.ctx, ast.Store) for n in own)
    if stored or (scope.function and value.id in scope.function.parameters):
        return ""
    return ".".join([scope.module.imports[value.id], *attributes])


def _harmless(dotted: str) -> bool:
    if dotted in known.WITHOUT:
        return False
    if dotted in known.HARMLESS or dotted.startswith(("os.path.", "pathlib.Path.")):
        return True
    parts = dotted.split(".")
    return any(".".join(parts[:end]) in known.PURE_MODULES for end in range(1, len(parts)))


def _harmless_method(call: ast.Call, name: str, awaited: bool) -> bool:
    """What is awaited is no method of a value; `get` of a client has more than a key and a default."""
    if awaited:
        return name == "acquire"
    if name == "get" and (call.keywords or len(call.args) > 2):
        return False
    return name in known.METHODS or name in known.READING


def _expires(function: Function) -> bool:
    """Does the function compare times, so that an entry's time only says how long it holds?"""

    def tells_time(node: ast.AST) -> bool:
        scope = Scope(function.module, function)
        return isinstance(node, ast.Call) and _imported(scope, node.func) in known.CLOCKS

    names = reached(function, tells_time)
    return any(
        tells_time(inner) or (isinstance(inner, ast.Name) and inner.id in names)
        for node in function.own_nodes
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
        for inner in ast.walk(node)
    )


def _given(code: Code, function: Function, name: str) -> Iterator[tuple[Scope, ast.expr]]:
    """What callers in the release hand in for a parameter, decorating included."""
    arguments = [arg.arg for arg in [*function.node.args.posonlyargs, *function.node.args.args]]
    arguments = [arg for arg in arguments if arg != function.receiver]
    place = arguments.index(name) if name in arguments else len(arguments)
    for module in code.modules:
        for node in ast.walk(module.tree):
            if is_test(module.path) or not isinstance(node, (ast.Call, ast.FunctionDef)):
                continue
            scope = Scope(module, module.function_of(node))
            if isinstance(node, ast.FunctionDef):
                if any(last_name(decorator) == function.name for decorator in node.decorator_list):
                    yield scope, ast.copy_location(ast.Name(node.name, ast.Load()), node)
            elif last_name(node.func) == function.called_as:
                values = [*node.args[place : place + 1], *(k.value for k in node.keywords if k.arg == name)]
                if not values or any(isinstance(arg, ast.Starred) for arg in node.args):
                    values = [node]  # cannot be seen, so it is refused as unknown
                yield from ((scope, value) for value in values)
