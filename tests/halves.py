"""Runs what computes beside what mostly waits, each in a process of its own: `make test`.

The first half prints as it goes, so a broken rule is told in seconds; then comes what the second has printed.
Both take the same arguments.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

ALWAYS = "not soak and not systemd"
NONE_CHOSEN = 5
"""How pytest ends when no test fits its arguments; the other half may have some."""
LOOK = 0.2
LONGEST = 4500
"""Seconds; a run takes a quarter of that. Half of one may hang where pytest does not look, as at its exit."""
PATIENCE = 30.0
"""Seconds a half that was told to stop has to clear up."""


def begin(marks: str, words: Sequence[str], out: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pytest", "-m", f"{ALWAYS} and {marks}", *words]
    return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT if out else None)


def ended(half: "subprocess.Popen[bytes]") -> None:
    try:
        half.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        half.kill()
        half.wait()


def copy(source: IO[bytes]) -> None:
    sys.stdout.buffer.write(source.read())
    sys.stdout.flush()


def follow(half: "subprocess.Popen[bytes]", source: IO[bytes]) -> None:
    """What it has printed, and what it prints until its end."""
    while half.poll() is None:
        copy(source)
        time.sleep(LOOK)
    copy(source)


def main(words: Sequence[str]) -> int:
    with tempfile.NamedTemporaryFile() as out, open(out.name, "rb") as printed:
        halves = [begin("not e2e", words), begin("e2e", words, out)]

        def stop(*_: object) -> None:
            for half in halves:
                half.send_signal(signal.SIGINT)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(LONGEST)
        try:
            halves[0].wait()
            follow(halves[1], printed)
        except KeyboardInterrupt:
            # From a terminal both got it as well. They clear up what they started; what was found is told.
            for half in halves:
                ended(half)
            copy(printed)
            return 130
    ends = [half.returncode for half in halves]
    return max((end for end in ends if end != NONE_CHOSEN), key=abs, default=NONE_CHOSEN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
