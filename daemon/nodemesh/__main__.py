"""python -m nodemesh"""

import sys

from nodemesh.main import main

if __name__ == "__main__":
    sys.exit(main())
