"""What all tests need."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# `python -m pytest` puts the checkout first on the module path. The package
# there lacks the generated messages, and would hide the installed one.
if '/trt_perception' in os.environ.get('AMENT_PREFIX_PATH', ''):
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != ROOT]

# The time that an example takes is no property of the code on a machine that does other work.
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')
