"""Which dict does an expression in a function mean, and where and how is it made?"""

import ast
from dataclasses import dataclass

from regenerator.boundcache.code import Code, Function, Module, last_name

Assignment = ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Unfit(Exception):
    """This cannot or must not be bounded; `reason` says why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Target:
    """`value` is the empty mapping that the definition makes, `base` its class as the module writes it."""

    module: Module
    owner: ast.ClassDef | None
    name: str
    definition: Assignment
    value: ast.expr
    base: str

    @property
    def label(self) -> str:
        qualified = f"{self.owner.name}.{self.name}" if self.owner else self.name
        return f"{self.module.path}:{qualified}"


@dataclass(frozen=True)
class Place:
    module: Module
    owner: ast.ClassDef | None
    name: str


def place_of(code: Code, function: Function, reference: ast.expr) -> Place:
    """Raises Unfit when the expression is no module global, class or instance attribute of the release."""
    match reference:
        case ast.Name(id=name):
            if function.is_local(name):
                raise Unfit(f"{name} is local to {function.name}: it does not outlive the call")
            return _global(code, function.module, name)
        case ast.Attribute(value=ast.Name(id=base), attr=name):
            holder = _holder(function, base)
            if holder is not None:
                return Place(function.module, holder, name)
            return _attribute(code, function.module, base, name)
    raise Unfit(f"{ast.unparse(reference)} is not a plain name")


def definition_of(place: Place) -> Target:
    """Raises Unfit unless there is exactly one definition, and it makes an empty mapping."""
    found = _class_definitions(place) if place.owner else _definitions(place.module.tree.body, place.name)
    if not found:
        raise Unfit(f"{place.name} is not defined where a plain dict could be seen")
    if len(found) > 1:
        raise Unfit(f"{place.name} is bound more than once")
    definition = found[0]
    value = definition.value
    if isinstance(definition, ast.Assign) and len(definition.targets) != 1:
        raise Unfit(f"{place.name} shares its definition with another name")
    assert value is not None
    base = _base(place, value)
    return Target(place.module, place.owner, place.name, definition, value, base)


def is_reference(target: Target, module: Module, node: ast.AST) -> bool:
    """Does this node of that module mean the target?"""
    if isinstance(node, ast.Name) and target.owner is None:
        here = module is target.module and node.id == target.name
        origin, there = module.imported.get(node.id, ("", ""))
        elsewhere = module is not target.module and origin == target.module.name and there == target.name
        function = module.function_of(node)
        return (here or elsewhere) and not (function and function.is_local(node.id))
    if isinstance(node, ast.Name):
        return (
            module is target.module
            and node.id == target.name
            and module.parents.get(node) is target.definition
        )
    if isinstance(node, ast.Attribute) and node.attr == target.name:
        if target.owner is None:
            return isinstance(node.value, ast.Name) and _means_module(target, module, node.value.id)
        return _may_be_instance(target, module, node)
    return False


def _global(code: Code, module: Module, name: str) -> Place:
    origin, there = module.imported.get(name, ("", ""))
    home = code.named(origin) if origin and there else None
    return Place(home, None, there) if home else Place(module, None, name)


def _attribute(code: Code, module: Module, base: str, name: str) -> Place:
    if base in module.classes:
        return Place(module, module.classes[base], name)
    origin, there = module.imported.get(base, ("", ""))
    home = code.named(origin) if origin else None
    if home and there in home.classes:
        return Place(home, home.classes[there], name)
    home = code.named(there or origin)
    if home is not None:
        return Place(home, None, name)
    raise Unfit(f"{base}.{name} cannot be followed to a definition in the release")


def _holder(function: Function, base: str) -> ast.ClassDef | None:
    """The class whose instance `base` is, in a method or a function nested in one."""
    scope: Function | None = function
    while scope is not None:
        if scope.receiver == base:
            return scope.owner
        scope = scope.outer
    return None


def _definitions(body: list[ast.stmt], name: str) -> list[Assignment]:
    return [
        statement
        for statement in body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        and statement.value is not None
        and any(isinstance(t, ast.Name) and t.id == name for t in _targets(statement))
    ]


def _class_definitions(place: Place) -> list[Assignment]:
    assert place.owner is not None
    found = _definitions(place.owner.body, place.name)
    for function in place.module.functions:
        if function.owner is place.owner and function.name == "__init__":
            found += [
                node
                for node in function.node.body
                if isinstance(node, (ast.Assign, ast.AnnAssign))
                and node.value is not None
                and any(
                    isinstance(t, ast.Attribute)
                    and t.attr == place.name
                    and last_name(t.value) == function.receiver
                    for t in _targets(node)
                )
            ]
    return found


def _targets(statement: Assignment) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _base(place: Place, value: ast.expr) -> str:
    match value:
        case ast.Dict(keys=[]):
            return "dict"
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=[]):
            return "dict"
        case ast.Call(func=func) if last_name(func) == "defaultdict":
            raise Unfit(
                f"{place.name} is a defaultdict: a read makes an entry, so entries are accumulated state"
            )
        case ast.Call(func=func, args=[], keywords=[]) if last_name(func) == "OrderedDict":
            return ast.unparse(func)
        case ast.Dict():
            raise Unfit(f"{place.name} starts with entries: a table, not a cache")
        case ast.Call(func=func) if last_name(func) in {"WeakValueDictionary", "WeakKeyDictionary"}:
            raise Unfit(f"{place.name} is weak: its entries go by themselves")
    raise Unfit(f"{place.name} is not made as an empty dict")


def _means_module(target: Target, module: Module, base: str) -> bool:
    origin, there = module.imported.get(base, ("", ""))
    return (there or origin) == target.module.name


def _may_be_instance(target: Target, module: Module, node: ast.Attribute) -> bool:
    """`self.x` counts in the class itself and those derived from it; `other.x` counts everywhere."""
    assert target.owner is not None
    function = module.function_of(node)
    scope = function
    while scope is not None:
        if isinstance(node.value, ast.Name) and scope.receiver == node.value.id:
            owner = scope.owner
            derived = owner is not None and any(last_name(b) == target.owner.name for b in owner.bases)
            return owner is target.owner or derived
        scope = scope.outer
    return True
