"""Where does `nodectl` start?"""

import sys
from io import TextIOWrapper

from nodectl.cli import nodectl


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    nodectl(prog_name="nodectl")


if __name__ == "__main__":
    main()
