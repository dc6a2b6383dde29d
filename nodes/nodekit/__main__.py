"""`python -m nodekit`: the same as the console script `nodekit`."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
