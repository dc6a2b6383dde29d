"""How is a terminal session of the documents read, run and compared?

In a block of kind `console` a line that begins with `$ ` is a command, what follows is what it prints.
`…` stands for what varies: on a line of its own for any number of lines, within one for any text and the
blanks around it. A command that only looks is repeated for a while, as a person would who waits. The ids of a
person's events, `nodectl-NUMBER.1`, are learned where they are printed and used where they are typed.
What a host says of rights it lacks is left out: the sessions show one that lacks none.
"""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LOOKS = ("status", "describe", "explain", "incidents", "logs", "plan", "validate", "version", "map", "trace")
LOOKS_AT_ROLLOUT = ("status", "history")
LOOKS_AT_EVENTS = (("tail",), ("show",), ("dead", "list"))
LEARNED = re.compile(r"nodectl-\d+")
PATIENCE = 20.0
PROGRAMS = ("nodectl", "sed")


@dataclass(frozen=True, slots=True)
class Command:
    line: int
    words: tuple[str, ...]
    printed: tuple[str, ...]

    @property
    def looks(self) -> bool:
        if self.words[0] != "nodectl":
            return False
        rollout = self.words[1] == "rollout" and self.words[2] in LOOKS_AT_ROLLOUT
        if self.words[1] == "events":
            return any(self.words[2 : 2 + len(each)] == each for each in LOOKS_AT_EVENTS)
        return rollout or (self.words[1] in LOOKS and "approve" not in self.words)


def commands(text: str) -> Iterator[Command]:
    """Raises ValueError for a program that no session may start."""
    begun: tuple[int, tuple[str, ...]] | None = None
    printed: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        ends = inside and (line.startswith(("$ ", "```")))
        if ends and begun is not None:
            yield Command(*begun, tuple(printed))
            begun, printed = None, []
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            begun = number, tuple(shlex.split(line[2:]))
            if begun[1][0] not in PROGRAMS:
                raise ValueError(f"line {number}: expected one of {', '.join(PROGRAMS)}, got {begun[1][0]}")
        elif inside:
            printed.append(line)


def pattern(printed: tuple[str, ...]) -> re.Pattern[str]:
    parts = []
    for line in printed:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*")
        else:
            words = (_escaped(word) for word in re.split(r"\s*…\s*", line.rstrip()))
            parts.append(r"[^\n]*".join(words) + r"[ \t]*\n")
    return re.compile("".join(parts))


def _escaped(word: str) -> str:
    return LEARNED.pattern.join(re.escape(part) for part in LEARNED.split(word))


def run(
    command: Command,
    folder: Path,
    environment: Mapping[str, str],
    nodectl: tuple[str, ...],
    learned: dict[str, str] | None = None,
) -> str:
    """What it printed, if it is what the session says; else AssertionError with both.

    `learned`: what stands for a name of the document on this host; more is added to it.
    """
    known = {} if learned is None else learned
    wanted, deadline = pattern(command.printed), time.monotonic() + PATIENCE
    typed = [LEARNED.sub(lambda found: known.get(found[0], found[0]), word) for word in command.words]
    words = [*nodectl, *typed[1:]] if typed[0] == "nodectl" else typed
    while True:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**environment, "COLUMNS": "200", "TERM": "dumb", "PATH": os.environ["PATH"]},
            timeout=120,
            check=False,
        )
        printed = re.sub(r"(?m)^this host: .*\n", "", done.stdout)
        if wanted.fullmatch(printed):
            told = LEARNED.findall("\n".join(command.printed))
            known.update(zip(told, LEARNED.findall(printed), strict=False))
            return printed
        if not command.looks or time.monotonic() > deadline:
            told = "\n".join(command.printed)
            raise AssertionError(
                f"line {command.line}: {shlex.join(command.words)} printed\n{printed}\nand not\n{told}"
            )
        time.sleep(0.2)
