"""Which wheels does a requirements file name, and is each one pinned to its content?

Only what a lock file needs is taken: `name[extras]==version ; marker --hash=sha256:...`, continued lines and
comments, as pip-compile and uv write them. Everything that would lead elsewhere is refused.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodespec.tables import Mistake, Refused, shown

LONGEST = 1024 * 1024
MOST = 2000
MOST_MISTAKES = 100
HASHES = {"sha256": 64, "sha384": 96, "sha512": 128}
PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)\s*(?:\[[A-Za-z0-9._, -]{0,200}\])?\s*"
    r"==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99})\s*(?:;(?P<marker>.*))?",
    re.DOTALL,
)
EXPECTED = "name==version --hash=sha256:..."
LEADS_AWAY = {
    "-r": "put the lines of the other file here",
    "-c": "put the versions it says here",
    "-e": "a release holds wheels; the node's own code lies in its folder",
}
SAME = {"--requirement": "-r", "--constraint": "-c", "--editable": "-e"}


class RequirementsError(Refused):
    """A requirements file was refused."""


@dataclass(frozen=True, slots=True)
class Wheel:
    name: str
    """As PyPI compares names: small letters, single dashes."""
    version: str


def read_requirements(content: bytes, where: str) -> tuple[Wheel, ...]:
    """Raises RequirementsError with every mistake."""
    if len(content) > LONGEST:
        raise RequirementsError(where, [Mistake("", hint=f"longer than {LONGEST // 1024} KiB")])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequirementsError(where, [Mistake(f"line {line}", hint="not UTF-8 text")]) from error
    wheels: dict[tuple[str, str], Wheel] = {}
    mistakes: list[Mistake] = []
    for line, words in _lines(text):
        found = _wheel(words)
        if isinstance(found, Mistake):
            mistakes.append(Mistake(f"line {line}", found.expected, found.got, found.hint))
        elif _twice(found, wheels):
            mistakes.append(Mistake(f"line {line}", hint=f"{found[0].name} is named twice"))
        else:
            wheels[found[0].name, found[1]] = found[0]
    if not wheels and not mistakes:
        mistakes.append(Mistake("", EXPECTED, "no requirement", "leave out node.requirements"))
    if len(wheels) > MOST:
        mistakes.append(Mistake("", f"at most {MOST} requirements", str(len(wheels))))
    if mistakes:
        raise RequirementsError(where, mistakes[:MOST_MISTAKES])
    return tuple(wheels.values())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each whole requirement with the number of its first line; lines are joined as pip joins them."""
    begun = 0
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        comment = line.lstrip().startswith("#")
        begun = begun if parts else number
        parts.append("" if comment else line.removesuffix("\\"))
        if line.endswith("\\") and not comment:
            continue
        words = re.sub(r"(^|\s)#.*$", "", "".join(parts)).strip()
        parts = []
        if words:
            yield begun, words
    if any(parts):
        yield begun, "".join(parts).strip()


def _wheel(words: str) -> tuple[Wheel, str] | Mistake:
    named, *options = re.split(r"\s+(?=--?[a-zA-Z])", words)
    if named.startswith("-"):
        return _option(named)
    if "@" in named or "://" in named or named.startswith((".", "/")):
        return Mistake("", EXPECTED, shown(named), "a place to take it from is not a version")
    found = PINNED.fullmatch(named.strip())
    if not found or found["version"].endswith("."):
        return Mistake("", EXPECTED, shown(words), "every version is pinned with ==")
    wrong = next((option for option in options if not _is_hash(option.strip())), "")
    if wrong:
        return Mistake("", EXPECTED, shown(wrong))
    if not options:
        return Mistake("", EXPECTED, shown(words), "without a hash nothing says what may come")
    name = re.sub(r"[-_.]+", "-", found["name"]).lower()
    return Wheel(name, found["version"]), (found["marker"] or "").strip()


def _twice(found: tuple[Wheel, str], before: Iterable[tuple[str, str]]) -> bool:
    """The same name may stand again for another marker, such as another Python."""
    markers = {marker for name, marker in before if name == found[0].name}
    return bool(markers) and (not found[1] or "" in markers or found[1] in markers)


def _option(words: str) -> Mistake:
    name = re.split(r"[\s=]", words)[0]
    name = SAME.get(name, name if name.startswith("--") else name[:2])
    hint = LEADS_AWAY.get(name, "options are for who builds, as PIP_INDEX_URL in the environment of nodectl")
    return Mistake("", EXPECTED, shown(words), hint)


def _is_hash(option: str) -> bool:
    found = re.fullmatch(r"--hash[=\s]\s*([a-z0-9]+):([0-9a-f]+)", option)
    return found is not None and HASHES.get(found[1]) == len(found[2])
