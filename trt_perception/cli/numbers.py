"""Numbers as they are written on a command line. A wrong one says what is allowed."""

from __future__ import annotations

import argparse


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 1')
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value


def rate(text: str) -> float:
    """Frames per second, above 0 and at most 1000."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of frames per second above 0')
    return value


def size(text: str) -> tuple[int, int]:
    """(width, height) from a text such as 1280x720."""
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form 1280x720')
    return int(width), int(height)
