"""Where does `nodectl` start?"""

import os
import sys
from io import TextIOWrapper

from nodectl.cli import nodectl


def main() -> None:
    # gRPC's own log lines would stand between ours; it looks once, when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # It would wake its threads in each child between fork and exec, and now and then such a child dies of it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    nodectl(prog_name="nodectl")


if __name__ == "__main__":
    main()
