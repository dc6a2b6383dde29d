"""Which files hold the contracts of a node's events, and can they be read?

Whether a schema says something that can be judged is for who judges events by it.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from nodespec.manifest import NodeSpec
from nodespec.tables import Mistake
from nodespec.tree import MANIFEST, Kind, Tree

LONGEST = 256 * 1024
"""Bytes of one schema."""


def without_contracts(spec: NodeSpec, tree: Tree, content: Callable[[str], bytes]) -> Iterator[Mistake]:
    """What is wrong with the files that [[publishes]] and [[consumes]] name. `content` reads one of them."""
    named = {
        "publishes": [table.schema for table in spec.publishes],
        "consumes": [table.schema for table in spec.consumes],
    }
    for name, paths in named.items():
        for place, path in enumerate(paths):
            if path:
                yield from _wrong(f"{MANIFEST}: {name}[{place}].schema", path, tree, content)


def read_schema(release: Path, path: str) -> str:
    """The text of a schema in an unpacked release. Raises OSError, or ValueError when it is no such text."""
    with (release / path).open("rb") as source:
        content = source.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"longer than {LONGEST // 1024} KiB")
    return content.decode()


def _wrong(key: str, path: str, tree: Tree, content: Callable[[str], bytes]) -> Iterator[Mistake]:
    entry = tree.get(path)
    if entry is None or entry.kind is not Kind.FILE:
        got = f"a link at {path}" if entry else f"no file {path}"
        yield Mistake(key, "a file of the release", got)
    elif entry.size > LONGEST:
        yield Mistake(key, f"a file of at most {LONGEST // 1024} KiB", f"{path} of {entry.size:,} bytes")
    elif problem := _problem(content(path)):
        yield Mistake(key, "a JSON Schema, which is a JSON object", f"{path}, {problem}")


def _problem(content: bytes) -> str:
    try:
        schema = json.loads(content.decode(), parse_constant=_refused)
    except RecursionError:
        return "nested too deep"
    except UnicodeDecodeError:
        return "which is not UTF-8"
    except ValueError as error:
        return f"which is not JSON: {error}"
    return "" if isinstance(schema, dict) else "another JSON value"


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
