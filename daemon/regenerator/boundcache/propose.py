"""Which one cache is bounded, by how much, and what does the module look like then?"""

import ast
import re
from collections.abc import Iterator

from regenerator.boundcache.bounded import bounded_class
from regenerator.boundcache.cached import Cached, judge_cached, lru_cache_name
from regenerator.boundcache.code import Code, Module
from regenerator.boundcache.judge import judge
from regenerator.boundcache.locate import suspects
from regenerator.boundcache.splice import Edit, Text, read_text
from regenerator.boundcache.target import Target, Unfit, definition_of, place_of
from regenerator.incident import Incident, Site
from regenerator.proposal import Proposal, Refusal
from regenerator.sources import Sources

GENERATOR = "codemod:bound-cache/1"
SHARE = 0.10
"""Part of the node's memory limit that the cache may fill."""
UNLIMITED = 256 << 20
"""The limit assumed for a node without one."""
FEWEST, MOST = 128, 65536
SLOT = 100
"""Bytes of a dict's slot and a short key, which a profile counts at other lines."""
MAX_SITES = 20


def propose(sources: Sources, incident: Incident) -> Iterator[Proposal | Refusal]:
    """Sites in their order, biggest growth first; each cache is judged once."""
    code = Code(tuple(Module(path, tree) for path, tree in sorted(sources.modules.items())))
    judged: set[str] = set()
    for site in incident.sites[:MAX_SITES]:
        yield from _at_site(sources, incident, code, site, judged)


def _at_site(
    sources: Sources, incident: Incident, code: Code, site: Site, judged: set[str]
) -> Iterator[Proposal | Refusal]:
    found = False
    try:
        for suspect in suspects(code, site):
            found = True
            try:
                target = (
                    suspect
                    if isinstance(suspect, Cached)
                    else _dict(code, suspect.function, suspect.container)
                )
                if target.label in judged:
                    continue
                judged.add(target.label)
                yield _proposal(sources, incident, code, site, target)
            except Unfit as unfit:
                label = suspect.label if isinstance(suspect, Cached) else ast.unparse(suspect.container)
                yield Refusal(site, label, unfit.reason)
    except Unfit as unfit:
        yield Refusal(site, "", unfit.reason)
        return
    except RecursionError:
        yield Refusal(site, "", "the code is nested too deeply to be followed")
        return
    if not found:
        yield Refusal(site, "", "nothing that outlives the call keeps what this line made")


def _dict(code: Code, function: object, container: ast.expr) -> Target:
    return definition_of(place_of(code, function, container))  # type: ignore[arg-type]


def _proposal(
    sources: Sources, incident: Incident, code: Code, site: Site, target: Target | Cached
) -> Proposal:
    """Raises Unfit."""
    path = target.module.path
    if path not in sources.writable:
        raise Unfit(f"{path} is not among the files that [regeneration].write allows")
    if isinstance(target, Cached):
        judge_cached(code, target)
    else:
        judge(code, target)
    each = bytes_per_entry(incident, site)
    entries = bound(incident, each)
    limit = incident.limit or UNLIMITED
    why = f"At most {SHARE:.0%} of {limit / (1 << 20):,.0f} MiB, at about {each:,} bytes an entry."
    text = read_text(sources.texts[path])
    if isinstance(target, Cached):
        edits = _bound_function(text, target, entries, why)
    else:
        edits = _bound_dict(text, target, entries, why)
    reason = f"{target.label} keeps every entry for ever; it is bounded to {entries:,} entries. {why}"
    return Proposal(GENERATOR, site, target.label, {path: text.apply(edits)}, reason, entries * each)


def bytes_per_entry(incident: Incident, site: Site) -> int:
    """All growth seen, over the most frequent line beside the site: an entry is spread over several lines."""
    counts = [other.count for other in incident.sites if other.file == site.file]
    total = sum(other.bytes for other in incident.sites)
    return max(total // max([*counts, 1]), 1) + SLOT


def bound(incident: Incident, each: int) -> int:
    budget = int((incident.limit or UNLIMITED) * SHARE)
    return min(max(budget // each, FEWEST), MOST)


def _bound_dict(text: Text, target: Target, entries: int, why: str) -> list[Edit]:
    name, class_text = bounded_class(target.base)
    constant = _constant(text, target.name)
    present = class_text.replace("\n", text.newline) in text.whole
    if not present and re.search(rf"\b{name}\b", text.whole):
        raise Unfit(f"{target.module.path} has another {name}")
    lines = "" if present else f"{_import_threading(target.module)}\n\n{class_text}"
    lines += f"\n{'' if present else chr(10)}# {why}\n{constant} = {entries}\n"
    after = _end_of_class(target.module, name) if present else _end_of_imports(target.module)
    return [text.after_line(after, lines), text.replace(target.value, f"{name}({constant})")]


def _import_threading(module: Module) -> str:
    names = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    if module.imported.get("threading") == ("threading", ""):
        return ""
    if "threading" in names or "threading" in module.imported:
        raise Unfit(f"{module.path} gives the name threading another meaning")
    return "import threading\n"


def _constant(text: Text, name: str) -> str:
    """A private name: the module's public names stay what they were."""
    constant = f"_{name.strip('_').upper() or 'CACHE'}_MAX_ENTRIES"
    if re.search(rf"\b{constant}\b", text.whole):
        raise Unfit(f"the name {constant} is taken")
    return constant


def _end_of_imports(module: Module) -> int:
    """The line after which code may be put: behind the docstring and the imports that lead the module."""
    line = 0
    for index, statement in enumerate(module.tree.body):
        docstring = (
            index == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        )
        if not (docstring or _importing(statement)):
            if statement.lineno <= line:
                raise Unfit(f"{module.path}:{line} has an import and other code on one line")
            break
        line = statement.end_lineno or statement.lineno
    if line == 0 and module.tree.body:
        first = module.tree.body[0]
        decorators = getattr(first, "decorator_list", [])
        line = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    return line


def _importing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=test, body=body, orelse=orelse):
            return "TYPE_CHECKING" in ast.unparse(test) and all(_importing(s) for s in [*body, *orelse])
        case ast.Try(body=body):
            return all(_importing(inner) for inner in body)
    return False


def _end_of_class(module: Module, name: str) -> int:
    cls = module.classes.get(name)
    if cls is None:
        raise Unfit(f"{module.path} has another {name}")
    return cls.end_lineno or cls.lineno


def _bound_function(text: Text, cached: Cached, entries: int, why: str) -> list[Edit]:
    wrapper = cached.wrapper
    comment = _comment_above(text, wrapper.lineno, why)
    if isinstance(wrapper, ast.Call):
        given = [*wrapper.args[:1], *(k.value for k in wrapper.keywords if k.arg == "maxsize")]
        return [comment, text.replace(given[0], str(entries))]
    if isinstance(wrapper, ast.Attribute):
        return [comment, text.replace(wrapper, f"{ast.unparse(wrapper.value)}.lru_cache(maxsize={entries})")]
    known = lru_cache_name(cached.module)
    edits = [comment, text.replace(wrapper, f"{known or 'lru_cache'}(maxsize={entries})")]
    return edits if known else [*edits, _import_lru_cache(text, cached)]


def _comment_above(text: Text, line: int, why: str) -> Edit:
    start = text.starts[line - 1]
    indent = re.match(r"[ \t]*", text.whole[start:])
    return Edit(start, start, f"{indent.group() if indent else ''}# {why}{text.newline}")


def _import_lru_cache(text: Text, cached: Cached) -> Edit:
    """`from functools import cache` gives way to lru_cache, unless cache is still used."""
    assert isinstance(cached.wrapper, ast.Name)
    bound_name = cached.wrapper.id
    uses = [n for n in ast.walk(cached.module.tree) if isinstance(n, ast.Name) and n.id == bound_name]
    for statement in ast.walk(cached.module.tree):
        if isinstance(statement, ast.ImportFrom) and statement.module == "functools":
            for alias in statement.names:
                if (alias.asname or alias.name) == bound_name:
                    old = text.whole[slice(*text.span(alias))]
                    return text.replace(alias, "lru_cache" if len(uses) == 1 else f"{old}, lru_cache")
    raise Unfit(f"the import of {bound_name} was not found")
