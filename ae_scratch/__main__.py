"""``python -m ae_scratch`` is the command ``ae-scratch``."""

import sys

from .cli import main

sys.exit(main())
