"""What must exist beside the sources before anything runs?

`.venv` (locked Python packages) and `.tools` (Debian programs). Nothing outside the checkout changes.
"""

import fcntl
import os
import sys
from pathlib import Path

import environment
import programs
from debian import Failed

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    os.umask(0o022)  # nodes run under other users and must be able to read what is made here
    if not (environment.is_current(CHECKOUT) and programs.is_current(CHECKOUT)):
        # Several makes may start at once: the first one builds, the others wait and find it done.
        with (CHECKOUT / ".setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not environment.is_current(CHECKOUT):
                environment.build(CHECKOUT)
            if not programs.is_current(CHECKOUT):
                programs.provide(CHECKOUT)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, OSError) as failure:
        print(f"setup: {failure}", file=sys.stderr)
        sys.exit(1)
