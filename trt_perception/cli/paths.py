"""Paths as they are written on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def path(text: str) -> Path:
    """A file or folder. An empty text would be the current folder, which nobody means."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            'an empty text names no file or folder: a variable in the command may not be set'
        )
    return Path(text)
