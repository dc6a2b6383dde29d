"""How is the worker started without its console script?"""

import sys

from regenerator.cli import main

if __name__ == "__main__":
    sys.exit(main())
