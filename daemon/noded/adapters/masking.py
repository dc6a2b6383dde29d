"""What in a text looks like a secret? It is replaced before the text leaves the host.

Rather too much than too little: what stays must be safe to hand to a stranger. Every pattern begins at a
word of its own and is bounded, because what nodes print is theirs to choose.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nodespec.manifest import NodeSpec

MASK = "***"
LONGEST_LINE = 16 * 1024
LONGEST_BLOCK = 100
"""Lines of a key; a block whose end never comes hides no more."""
SHORTEST_KNOWN = 6
"""Characters of a value that is looked for wherever it stands: shorter ones are ordinary words."""
DEEPEST = 60

WORDS = (
    r"secret|token|passw|passphrase|pwd|credential|key|auth(?!or)|session[_-]?id|cookie|dsn|private|bearer"
)
SECRET = re.compile(WORDS, re.IGNORECASE)
QUOTE = r"""\\{0,4}["']"""
NAME = rf"(?:{WORDS})[\w.-]{{0,40}}(?:{QUOTE})?"
VALUE = (
    r"""(?:"(?:[^"\\]|\\.){0,4096}|'(?:[^'\\]|\\.){0,4096}"""
    r"""|\\{1,4}["'](?:(?!\\{1,4}["']).){0,4096}|[^\s&]{1,4096})"""
)
Masker = Callable[[re.Match[str]], str]


@dataclass(frozen=True, slots=True)
class Pattern:
    kind: str
    found: re.Pattern[str]
    kept: str
    """What stays, as a template of the match."""


def _pattern(kind: str, text: str, kept: str = "", flags: re.RegexFlag = re.IGNORECASE) -> Pattern:
    return Pattern(kind, re.compile(text, flags), kept)


TO_THE_END = r"""[^"'\r\n\\]{1,4096}"""
PATTERNS = (
    _pattern("key block", r"-----BEGIN [A-Z0-9 ]{1,40}-----.{0,15000}?(?:-----END [A-Z0-9 ]{1,40}-----|$)"),
    _pattern(
        "header",
        rf"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{{1,40}})"
        rf"((?:{QUOTE})?\s{{0,8}}[:=,]\s{{0,8}}(?:{QUOTE})?){TO_THE_END}",
        r"\1\2",
    ),
    _pattern("url", r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/\"'<>@]{0,512}(?:/[^\s/\"'<>@:]{0,64})?@", r"\1"),
    _pattern("header", r"\b(bearer|basic|digest|negotiate) [A-Za-z0-9+/=._~-]{6,4096}", r"\1 "),
    _pattern("aws", r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA)[0-9A-Z]{12,20}\b", "", re.NOFLAG),
    _pattern(
        "token",
        r"\b(?:gh[pousr]_\w{16,255}|github_pat_\w{16,255}|glpat-[\w-]{16,64}|xox[abeprs]-[\w-]{8,255}"
        r"|sk-[\w-]{16,255}|[rs]k_(?:live|test)_\w{10,255}|AIza[\w-]{30,40}|npm_\w{30,64}|pypi-[\w-]{20,255}"
        r"|hv[sb]\.[\w-]{20,255}|eyJ[\w-]{8,2000}\.[\w-]{4,2000}(?:\.[\w-]{0,2000})?)",
        "",
        re.NOFLAG,
    ),
    _pattern(
        "option",
        rf"(?<![\w-])(--?[\w-]{{0,30}}(?:{WORDS})[\w-]{{0,30}}(?:{QUOTE})?[\s,=]{{1,8}}(?:{QUOTE})?)"
        rf"[^\s\"'\\]{{1,4096}}",
        r"\1",
    ),
    _pattern(
        "named value",
        rf"((?:passw|passphrase|secret)[\w.-]{{0,40}}\s{{0,8}}[:=]\s{{0,8}}){TO_THE_END}",
        r"\1",
    ),
    _pattern("named value", rf"({NAME}\s{{0,8}}(?:[:=]{{1,2}}>?|=>)\s{{0,8}}){VALUE}", r"\1"),
    _pattern("named value", rf"({QUOTE}[\w.-]{{0,40}}{NAME}\s{{0,8}},\s{{0,8}}){VALUE}", r"\1"),
)
HINTS = tuple(
    """secret token passw passphrase pwd credential key auth session cookie dsn private bearer basic digest
    negotiate :// x- -----begin akia asia agpa aroa aida anpa ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox
    sk- sk_ rk_ aiza npm_ pypi- hvs. hvb. eyj""".split()
)
"""No pattern finds anything in a line without one of them: most lines are done with in no time."""
BEGIN, END = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----"), re.compile(r"-----END [A-Z0-9 ]{1,40}-----")
OF_A_KEY = re.compile(r".{0,64}?[A-Za-z0-9+/=]{16,}\s*|[A-Za-z0-9+/=]*\s*|\S+: \S+")

HARMLESS = frozenset(
    """DEBUG HOME HOST HOSTNAME LANG LANGUAGE LOGNAME LOG_FORMAT LOG_LEVEL PATH PORT PWD SHELL TEMP TERM
    THREADS TMP TMPDIR TZ USER WORKERS NODED_ACTIVE NODED_DATA NODED_INSTANCE NODED_LISTEN NODED_MESH
    NODED_NODE NODED_ORDERS NODED_ROLE NODED_STOP_TIMEOUT NODED_VERSION NOTIFY_SOCKET PYTHONPATH
    PYTHONUNBUFFERED PYTHONHASHSEED PYTHONDONTWRITEBYTECODE""".split()
)
ENVIRONMENTS = ("env", "environment", "environ")


@dataclass(slots=True)
class Masking:
    """`known` are values that are secret wherever they stand, such as those of manifests' environments."""

    known: Iterable[str] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """How often something of each kind was replaced."""
    _values: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        values = {value for value in self.known if len(value) >= SHORTEST_KNOWN}
        forms = {form for value in values for form in (value, json.dumps(value)[1:-1])}
        if forms:
            self._values = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))

    def text(self, text: str) -> str:
        """Line by line; what is longer than any line a person reads is cut."""
        lines: list[str] = []
        left = 0
        for each in text.splitlines():
            line = each if len(each) <= LONGEST_LINE else each[:LONGEST_LINE] + " (cut)"
            begins, ends = _last(BEGIN, line), _last(END, line)
            if left:
                left = 0 if ends >= 0 else left - 1
                if begins < 0:
                    continue
            if ends >= 0 and begins < 0:
                # The beginning lies before what we were given: its lines were let through already.
                while lines and OF_A_KEY.fullmatch(lines[-1]):
                    lines.pop()
                lines.append(self._hidden("key block"))
                continue
            left = LONGEST_BLOCK if begins > ends else left
            lines.append(self.line(line))
        return "".join(f"{line}\n" for line in lines)

    def line(self, line: str) -> str:
        line = line[:LONGEST_LINE]
        if self._values is not None:
            line = self._values.sub(lambda _: self._hidden("known value"), line)
        lower = line.lower()
        if not any(hint in lower for hint in HINTS):
            return line
        for pattern in PATTERNS:
            line = pattern.found.sub(self._masker(pattern), line)
        return line

    def tree(self, value: Any, depth: int = 0) -> Any:
        """JSON, with the names of its keys taken into account."""
        if depth > DEEPEST:
            return self._hidden("too deep")
        if isinstance(value, str):
            return self.text(value) if "\n" in value else self.line(value)
        if isinstance(value, list):
            return [self._of_key(name, each, depth) for name, each in zip(_names(value), value, strict=True)]
        if isinstance(value, dict):
            return {self.line(key): self._of_key(key, held, depth) for key, held in value.items()}
        return value

    def _of_key(self, key: str, held: Any, depth: int) -> Any:
        if key.lower() in ENVIRONMENTS:
            return self._environment(held, depth)
        if held and isinstance(held, str | int | float) and held is not True and SECRET.search(key[:200]):
            return self._hidden("named value")
        return self.tree(held, depth + 1)

    def _environment(self, held: Any, depth: int) -> Any:
        """As a table, or as pairs of name and value."""
        if isinstance(held, dict):
            return {self.line(name): self._variable(name, value, depth) for name, value in held.items()}
        if isinstance(held, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in held):
            return [[name, self._variable(str(name), value, depth)] for name, value in held]
        return self._hidden("environment")

    def _variable(self, name: str, value: Any, depth: int) -> Any:
        return self.tree(value, depth + 1) if is_harmless(name) else self._hidden("environment")

    def _masker(self, pattern: Pattern) -> Masker:
        def mask(found: re.Match[str]) -> str:
            if found[0].endswith(MASK):
                return found[0]
            return found.expand(pattern.kept) + self._hidden(pattern.kind)

        return mask

    def _hidden(self, kind: str) -> str:
        self.counts[kind] += 1
        return MASK


def _names(words: list[Any]) -> list[str]:
    """What each word of a command line, or the second of a pair, is the value of; mostly of nothing."""
    before = ["", *(word if isinstance(word, str) else "" for word in words)]
    return [
        name if (name.startswith("-") and "=" not in name) or (len(words) == 2 and place == 1) else ""
        for place, name in enumerate(before[: len(words)])
    ]


def masked(spec: NodeSpec, text: str) -> str:
    """What a program of a node printed, without what its manifest says in confidence."""
    known = (value for name, value in spec.env if not is_harmless(name) and value != spec.name)
    return Masking(tuple(known)).text(text)


def is_harmless(name: str) -> bool:
    """Whether an environment variable of this name may be shown."""
    return name in HARMLESS or name.startswith("LC_")


def _last(pattern: re.Pattern[str], line: str) -> int:
    return max((found.start() for found in pattern.finditer(line)), default=-1)
