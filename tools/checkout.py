"""Importing this lets the commands of this folder import what lies beside the library in a checkout: `demo`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
