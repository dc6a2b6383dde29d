"""What does a document say that can be compared with the code? Each function reads one kind of statement."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = ("py", "md", "toml", "proto", "txt", "in", "cfg")
# Names that stand for files which do not lie in the checkout, or for a file to be written.
_PLACEHOLDER = re.compile(r"(?<![A-Za-z])X(?![A-Za-z])|\b[A-Z]{2,}/|NAME|attempt-")
_GENERATED = ("audit/", "releases/", "evidence/", "ring/", "data/", "contracts/")
UNIT = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0, "%": 0.01, "MiB": 2.0**20, "requests": 1.0,
        "KiB": 2.0**10, "bytes": 1.0, "events": 1.0}  # fmt: skip
# Words that praise instead of saying what is.
MARKETING = re.compile(
    r"\b(?:revolutionary|seamless(?:ly)?|effortless(?:ly)?|blazing(?:ly)?|cutting[- ]edge|world[- ]class"
    r"|best[- ]in[- ]class|state[- ]of[- ]the[- ]art|game[- ]chang\w+|next[- ]gen\w*"
    r"|robust(?:ly)?|powerful(?:ly)?|unleash\w*|supercharg\w+|enterprise[- ]grade"
    r"|magic(?:al(?:ly)?)?|unparalleled|delightful|awesome"
    r"|lightning[- ]fast|leverag\w+|empower\w*|production[- ]ready|battle[- ]tested|simply|easily|just works"
    r"|intelligent(?:ly)?|smart)\b",
    re.IGNORECASE,
)
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A Mermaid state diagram. `states` maps ids to the words they are shown with."""

    states: dict[str, str]
    edges: tuple[Edge, ...]


def section(text: str, title: str) -> str:
    """From a heading that contains `title` to the next heading of its level or above."""
    found = re.search(rf"^(#+) [^\n]*{re.escape(title)}[^\n]*\n", text, re.MULTILINE)
    if not found:
        raise ValueError(f"no heading contains {title!r}")
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def diagram(text: str) -> Diagram:
    """The only Mermaid state diagram of a text."""
    (drawn,) = blocks(text, "mermaid")
    states = dict((name, words) for words, name in re.findall(r'state "([^"]+)" as (\w+)', drawn))
    edges = re.findall(r"^\s*(\w+|\[\*\]) --> (\w+|\[\*\])", drawn, re.MULTILINE)
    return Diagram(states, tuple(edges))


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row but the headings."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def named_files(text: str) -> Iterator[str]:
    """Words in backticks that look like a file or folder of the checkout."""
    for word in re.findall(r"`([\w./*-]+)`", prose(text)):
        known = word.rpartition(".")[2] in SUFFIXES or word.endswith("/") or word.count("/") > 1
        if "/" not in word or not known or word.startswith((".", "/")):
            continue
        if not _PLACEHOLDER.search(word) and not word.startswith(_GENERATED):
            yield word


def links(text: str) -> Iterator[str]:
    """Targets of links inside the checkout."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(text)):
        if "://" not in target:
            yield target


def is_there(root: Path, name: str) -> bool:
    bases = (root, root / "daemon/noded", root / "daemon")
    return any(any(base.glob(name.rstrip("/"))) for base in bases)


def marketing(text: str) -> list[str]:
    return [found[0] for found in MARKETING.finditer(prose(text))]


def constants(text: str) -> Iterator[tuple[str, float]]:
    """Table rows that begin with a constant such as `healing.PROFILE`, and the number beside it."""
    for cells in rows(text):
        name = re.fullmatch(r"`([a-z]+\.[A-Za-z_.]+)`", cells[0])
        if name:
            yield name[1], quantity(cells[1])


def quantity(text: str) -> float:
    """ "5 s", "50 %", "10 min", "8 MiB" or "3" in seconds, bytes, shares or as it stands."""
    found = re.fullmatch(r"([\d.,]+) ?([A-Za-z%]*)", text)
    if not found or found[2] not in UNIT:
        raise ValueError(f"{text!r} is no quantity with a known unit")
    return float(found[1].replace(",", "")) * UNIT[found[2]]
