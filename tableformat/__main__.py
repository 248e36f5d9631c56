"""`python -m tableformat`: the command line."""

import sys

from tableformat.cli import main

sys.exit(main())
