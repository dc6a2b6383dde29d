"""How is a text changed so that every other byte of it stays the same?"""

import ast
import re
from dataclasses import dataclass

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start` to `end` become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A source file with the places that `ast` counts: lines by \\n, \\r\\n or \\r, columns in bytes."""

    whole: str
    starts: tuple[int, ...]

    @property
    def newline(self) -> str:
        return "\r\n" if "\r\n" in self.whole else "\n"

    def at(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.whole)
        prefix = self.whole[start:end].encode()[:column].decode()
        return start + len(prefix)

    def span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.at(node.lineno, node.col_offset), self.at(end_line, end_column)

    def replace(self, node: ast.expr | ast.alias, text: str) -> Edit:
        start, end = self.span(node)
        return Edit(start, end, text)

    def after_line(self, line: int, text: str) -> Edit:
        """`text` uses \\n; it is put after the line, in the file's own line ends."""
        place = self.starts[line] if line < len(self.starts) else len(self.whole)
        before = "" if place == 0 or self.whole[place - 1] in "\r\n" else self.newline
        return Edit(place, place, before + text.replace("\n", self.newline))

    def apply(self, edits: list[Edit]) -> str:
        result, reach = self.whole, len(self.whole) + 1
        for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
            assert edit.end <= reach, "edits overlap"
            result = result[: edit.start] + edit.text + result[edit.end :]
            reach = edit.start
        return result


def read_text(whole: str) -> Text:
    """A byte order mark is no column of the first line."""
    skip = 1 if whole.startswith("\ufeff") else 0
    starts = [match.start() for match in LINE.finditer(whole, skip)]
    return Text(whole, tuple(starts))
