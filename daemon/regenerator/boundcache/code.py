"""Who calls, contains and names what in the node's modules?

An index over syntax trees; no code of the node runs. Names resolve within the release only: module globals,
`from .x import y`, attributes of `self`, of a class and of an imported module.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Function:
    module: "Module"
    node: Def
    owner: ast.ClassDef | None
    outer: "Function | None"

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def called_as(self) -> str:
        """`Quote(...)` runs Quote.__init__."""
        made = self.owner is not None and self.name in {"__init__", "__post_init__", "__new__"}
        return self.owner.name if made and self.owner else self.name

    @cached_property
    def own_nodes(self) -> tuple[ast.AST, ...]:
        """Everything in the body that runs when this function runs (nested functions run later)."""
        return tuple(node for child in self.node.body for node in _own(child))

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Without `self` and `cls`: an instance is not a request."""
        spec = self.node.args
        positional = [*spec.posonlyargs, *spec.args]
        if self.owner is not None and self.receiver:
            positional = positional[1:]
        extra = [arg for arg in (spec.vararg, spec.kwarg) if arg is not None]
        return frozenset(arg.arg for arg in [*positional, *spec.kwonlyargs, *extra])

    @cached_property
    def receiver(self) -> str:
        """`self` or `cls` of a method, else empty."""
        static = any(last_name(d) == "staticmethod" for d in self.node.decorator_list)
        positional = [*self.node.args.posonlyargs, *self.node.args.args]
        return positional[0].arg if self.owner is not None and positional and not static else ""

    @cached_property
    def globals(self) -> frozenset[str]:
        return frozenset(name for n in self.own_nodes if isinstance(n, ast.Global) for name in n.names)

    @cached_property
    def locals(self) -> frozenset[str]:
        bound = set(self.parameters) | ({self.receiver} if self.receiver else set())
        outside: set[str] = set()
        for node in self.own_nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                bound.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
                bound.add(node.name or "")
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                bound.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                outside.update(node.names)
        return frozenset(bound - outside)

    def is_local(self, name: str) -> bool:
        """Bound in this function or one around it, so not a global of the module."""
        if name in self.locals:
            return True
        return name not in self.globals and self.outer is not None and self.outer.is_local(name)

    @cached_property
    def calls(self) -> frozenset[str]:
        """Last names of everything called: `a.b.c()` is `c`."""
        return frozenset(
            name for n in self.own_nodes if isinstance(n, ast.Call) and (name := last_name(n.func))
        )


@dataclass(frozen=True, eq=False)
class Module:
    path: str
    tree: ast.Module

    @property
    def name(self) -> str:
        path = PurePosixPath(self.path)
        return path.parent.name if path.name == "__init__.py" else path.stem

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(_functions(self, self.tree, None, None))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Bound name -> (last name of the module it comes from, name there; empty for the module itself)."""
        names: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                origin = (node.module or "").split(".")[-1]
                for alias in node.names:
                    names[alias.asname or alias.name] = (origin, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name.split(".")[0]] = (alias.name.split(".")[-1], "")
        return names

    @cached_property
    def imports(self) -> dict[str, str]:
        """Bound name -> all of what it means: `urllib.parse.quote`, `.store.PRICES`."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (f"{node.module}." if node.module else "")
                names.update({alias.asname or alias.name: origin + alias.name for alias in node.names})
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.split(".")[0]
                    names[bound] = alias.name if alias.asname else bound
        return names

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    def function_of(self, node: ast.AST) -> Function | None:
        """The innermost function that runs this node."""
        by_node = {function.node: function for function in self.functions}
        child, parent = node, self.parents.get(node)
        while parent is not None:
            if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)) and child in parent.body:
                return by_node[parent]
            child, parent = parent, self.parents.get(parent)
        return None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, ast.ClassDef):
            parent = self.parents.get(parent)
        return parent

    def function_at(self, line: int) -> Function | None:
        """The innermost function whose text, decorators included, covers the line."""
        covering = [f for f in self.functions if _first_line(f.node) <= line <= (f.node.end_lineno or 0)]
        return max(covering, key=lambda f: f.node.lineno, default=None)


@dataclass(frozen=True, eq=False)
class Code:
    modules: tuple[Module, ...]

    def module(self, path: str) -> Module | None:
        return next((module for module in self.modules if module.path == path), None)

    def named(self, last_name: str) -> Module | None:
        return next((module for module in self.modules if module.name == last_name), None)

    def functions_named(self, name: str) -> Iterator[Function]:
        return (f for module in self.modules for f in module.functions if f.name == name)

    def callers_of(self, function: Function) -> Iterator[Function]:
        """Own module first: a caller next to the function is the likelier one."""
        ordered = sorted(self.modules, key=lambda module: module is not function.module)
        name = function.called_as
        return (f for module in ordered for f in module.functions if name in f.calls and f is not function)


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c` and of `a.b.c()`; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Call(func=inner):
            return last_name(inner)
    return ""


def _first_line(node: Def) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _own(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    for child in ast.iter_child_nodes(node):
        yield from _own(child)


def _functions(
    module: Module, node: ast.AST, owner: ast.ClassDef | None, outer: Function | None
) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = Function(module, child, owner, outer)
            yield function
            yield from _functions(module, child, None, function)
        elif isinstance(child, ast.ClassDef):
            yield from _functions(module, child, child, outer)
        else:
            yield from _functions(module, child, owner, outer)
