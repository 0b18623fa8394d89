"""`python -m lucid_port`, the same as `lucid-port`."""

import sys

from lucid_port.cli import main

sys.exit(main())
