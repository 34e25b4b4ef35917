"""`python -m dnsd` runs the command line.

In `dnsd/` (above all packages). Change here: nothing; see cli.py.
"""

import sys

from dnsd.cli import main

sys.exit(main())
