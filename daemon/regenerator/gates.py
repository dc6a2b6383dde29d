"""Is the proposed change allowed at all?

Pure functions over the parent's and the proposed texts, cheap first. They read neither the evidence nor
who proposed, and look only at what is added, so that old sins do not block.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator

from regenerator.proposal import Proposal
from regenerator.report import Gate, changed_lines, difference
from regenerator.sources import Sources, may_write

MAX_LINES = 120
FORBIDDEN_CALLS = frozenset(
    "eval exec compile __import__ breakpoint globals vars setattr delattr system popen fork forkpty "
    "spawnv execv execve kill killpg _exit abort putenv unlink rmtree chmod chown loads_unsafe getenv "
    "settrace setprofile".split()
)
FORBIDDEN_IMPORTS = frozenset(
    "subprocess ctypes socket pickle marshal shelve atexit signal importlib imp runpy code codeop pty "
    "multiprocessing pytest unittest mock builtins sys os shutil http urllib ssl asyncio.subprocess "
    "webbrowser resource".split()
)
FORBIDDEN_NAMES = frozenset(
    "environ modules meta_path path_hooks gettrace __builtins__ __subclasses__".split()
)
FORBIDDEN_COMMENTS = ("noqa", "type: ignore", "pragma: no cover", "pylint: disable")
FORBIDDEN_TEXTS = ("PYTEST_CURRENT_TEST",)

StaticGate = Callable[[Sources, Proposal], Gate]


def parse(sources: Sources, proposal: Proposal) -> Gate:
    for path, text in proposal.files.items():
        if "\x00" in text or len(text) > 1 << 20:
            return Gate("parse", False, f"{path}: expected at most 1 MiB of text without null bytes")
        try:
            ast.parse(text.removeprefix("\ufeff"))
        except (SyntaxError, ValueError, RecursionError) as error:
            return Gate("parse", False, f"{path}: {error}")
    return Gate("parse", True, f"{len(proposal.files)} file(s) parse")


def paths(sources: Sources, proposal: Proposal) -> Gate:
    new = [path for path in proposal.files if path not in sources.files]
    if new:
        return Gate("paths", False, f"{new[0]}: a new file")
    refused = [path for path in proposal.files if not may_write(sources.spec, path)]
    if refused:
        return Gate("paths", False, f"{refused[0]}: not a file that [regeneration].write allows")
    return Gate("paths", bool(proposal.files), f"{len(proposal.files)} file(s), all writable")


def diff_size(sources: Sources, proposal: Proposal) -> Gate:
    lines = changed_lines(difference(sources, proposal))
    return Gate("diff-size", 0 < lines <= MAX_LINES, f"{lines} changed lines, at most {MAX_LINES}")


def public_names(sources: Sources, proposal: Proposal) -> Gate:
    checked = 0
    for path, text in proposal.files.items():
        before = _public(ast.parse(sources.texts[path].removeprefix("\ufeff")))
        after = _public(ast.parse(text.removeprefix("\ufeff")))
        for name in sorted(before.keys() | after.keys()):
            checked += 1
            if before.get(name) != after.get(name):
                return Gate("public-names", False, f"{path}: {name}: {_told(before, after, name)}")
    return Gate("public-names", True, f"{checked} public names and signatures unchanged")


def policy(sources: Sources, proposal: Proposal) -> Gate:
    added = 0
    for path, text in proposal.files.items():
        before, after = sources.texts.get(path, ""), text
        mistake, nodes = _added_sin(before.removeprefix("\ufeff"), after.removeprefix("\ufeff"))
        added += nodes
        if mistake:
            return Gate("policy", False, f"{path}: {mistake}")
    return Gate("policy", True, f"{added} added syntax nodes, none forbidden")


STATIC: tuple[StaticGate, ...] = (parse, paths, diff_size, public_names, policy)


def _public(tree: ast.Module) -> dict[str, str]:
    """Public name -> kind and signature. What a module only imports belongs to others."""
    found: dict[str, str] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found[node.name] = _signature(node)
            case ast.ClassDef():
                found[node.name] = "class " + ", ".join(ast.unparse(base) for base in node.bases)
                for member in node.body:
                    if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        found[f"{node.name}.{member.name}"] = _signature(member)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
                for name in (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
                    listed = f" = {ast.unparse(node.value)}" if name == "__all__" and node.value else ""
                    found[name] = f"name {annotation}{listed}"
    return {name: kind for name, kind in found.items() if _is_public(name)}


def _is_public(name: str) -> bool:
    parts = name.split(".")
    return all(not part.startswith("_") or (part.startswith("__") and part.endswith("__")) for part in parts)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = ast.unparse(node.returns) if node.returns else ""
    return f"{kind}({ast.unparse(node.args)}) -> {returns}"


def _told(before: dict[str, str], after: dict[str, str], name: str) -> str:
    if name not in after:
        return "is gone"
    return "is new" if name not in before else f"was {before[name]!r}, is {after[name]!r}"


def _added_sin(before: str, after: str) -> tuple[str, int]:
    old = Counter(_fingerprints(before))
    nodes = 0
    for node in ast.walk(ast.parse(after)):
        mark = ast.dump(node)
        if old[mark] > 0:
            old[mark] -= 1
            continue
        nodes += 1
        sin = _sin(node)
        if sin:
            return f"line {getattr(node, 'lineno', 0)}: {sin}", nodes
    for mark in FORBIDDEN_COMMENTS:
        if after.count(mark) > before.count(mark):
            return f"adds {mark!r}", nodes
    return "", nodes


def _fingerprints(text: str) -> Iterator[str]:
    return (ast.dump(node) for node in ast.walk(ast.parse(text)))


def _sin(node: ast.AST) -> str:
    match node:
        case ast.Import(names=names):
            bad = [alias.name for alias in names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS]
            return f"imports {bad[0]}" if bad else ""
        case ast.ImportFrom(module=module) if module and module.split(".")[0] in FORBIDDEN_IMPORTS:
            return f"imports from {module}"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in FORBIDDEN_CALLS:
            return f"calls {name}"
        case ast.Call(func=ast.Name(id="open")):
            return "opens a file"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="gc"), attr=name)):
            return f"calls gc.{name}"
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in FORBIDDEN_NAMES:
            return f"uses {name}"
        case ast.Constant(value=str() as text) if any(word in text for word in FORBIDDEN_TEXTS):
            return "looks for the tests"
        case ast.ExceptHandler(type=kind, body=[ast.Pass()]) if _broad(kind):
            return "swallows every exception"
    return ""


def _broad(kind: ast.expr | None) -> bool:
    return kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
