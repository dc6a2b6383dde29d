"""What do HAProxy's answers to `show stat` and `show info` say?"""

import csv
import re
from collections.abc import Iterator

from noded.ports import Refused


def generation(info: str) -> str:
    fields = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    try:
        return f"{fields['Pid']}@{fields['Start_time_sec']}"
    except KeyError as error:
        raise Refused(f"cannot read HAProxy's generation: no {error} in its answer {info[:200]!r}") from error


def rows(answer: str) -> Iterator[dict[str, str]]:
    """Servers of slots in the CSV of `show stat`, by the names of its header."""
    if not answer.startswith("# pxname,svname,"):
        raise Refused(f"cannot read HAProxy's counts: unexpected answer {answer[:200]!r}")
    for row in csv.DictReader(answer[2:].splitlines()):
        if row["svname"] and ":" in row["svname"]:
            yield row


def counts(row: dict[str, str]) -> tuple[int, int, int]:
    """Requests a server was given, each once; those of them that went badly; and of these, those that another
    server was asked.

    A request ends at a server in exactly one way: answered (`req_tot`), failed there for good
    (`econ`, `eresp`), or sent on to another server (`wredis`). `stot` is no use: it counts a request
    redispatched after an empty answer and leaves out one redispatched after a refused connection.
    One exception: an answer broken off in its body is in `req_tot` and in `eresp`, two requests of
    which one is bad; HAProxy has no count that would tell it from an answer that never began.
    (HAProxy 2.8 counts an empty answer twice: too many bad requests, never too few.)
    Of connections (`t` slots) HAProxy does not know how they went: one that was made (`stot`) went well.
    `wretr` is left out: a retry that is redispatched is in `wredis` as well, a retry that fails in
    the end is in `econ` or `eresp`, and 2.6 counts some of them twice.
    """
    failed = sum(int(row[column] or 0) for column in ("econ", "eresp", "wredis"))
    answered = row["stot"] if row["pxname"].startswith("t") else row["req_tot"]
    return int(answered or 0) + failed, int(row["hrsp_5xx"] or 0) + failed, int(row["wredis"] or 0)


def is_second(row: dict[str, str]) -> bool:
    """Beside the canary the others get what it failed at (or, while it is down, what would have been its)."""
    return row["pxname"].startswith("c") and ":fuse-" not in row["svname"]


def blown(table: str) -> frozenset[str]:
    """Servers of canaries whose fuse the table of errors says is blown."""
    return frozenset(re.findall(r"key=(\S+)", table))


def is_up(status: str) -> bool:
    """A server of weight 0 shows as DRAIN while it works; "UP 1/3" is on its way down or up."""
    return status.startswith(("UP", "DRAIN", "no check"))
