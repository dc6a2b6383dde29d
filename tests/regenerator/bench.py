"""What the tests of the generator and the gates hold in their hands."""

import ast
from pathlib import Path

from nodespec.manifest import NodeSpec, Regeneration
from regenerator.incident import Incident, Parent, Site
from regenerator.proposal import Proposal, Refusal
from regenerator.sources import Sources, may_write

MANY = 1 << 20
"""Bytes of an entry as large as this lead to the smallest bound."""


def sources(write: tuple[str, ...] = (), **texts: str) -> Sources:
    """Names are modules of the package `shop`: `quotes` is shop/quotes.py."""
    spec = NodeSpec("shop", "1.0.0", ("python3", "-m", "shop"), regeneration=Regeneration(write))
    files = {f"shop/{name}.py": text for name, text in texts.items()}
    modules = {path: ast.parse(text.removeprefix("\ufeff")) for path, text in files.items()}
    writable = frozenset(path for path in modules if may_write(spec, path))
    return Sources(Path("/"), spec, files, modules, writable, frozenset(files))


def incident(*sites: Site, limit: int = 256 << 20) -> Incident:
    parent = Parent("1.0.0", "sha256:" + "0" * 64)
    return Incident("shop", "shop-1", "memory-growth", parent, "1.0.0+heal.1", 1e6, limit, sites)


def site(path: str, text: str, size: int = MANY, count: int = 1) -> Site:
    """At the line marked `# <site>`."""
    line = next(number for number, line in enumerate(text.split("\n"), 1) if "# <site>" in line)
    return Site(path, line, "", size * count, count)


def split(answers: list[Proposal | Refusal]) -> tuple[list[Proposal], list[Refusal]]:
    proposals = [answer for answer in answers if isinstance(answer, Proposal)]
    return proposals, [answer for answer in answers if isinstance(answer, Refusal)]
