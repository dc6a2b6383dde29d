"""python -m noded"""

import sys

from noded.main import main

if __name__ == "__main__":
    sys.exit(main())
