"""Sizes, ages and ranges as they are written on a command line."""

from __future__ import annotations

import argparse
import re

_BYTES = {'': 1, 'K': 10**3, 'M': 10**6, 'G': 10**9, 'KI': 1 << 10, 'MI': 1 << 20, 'GI': 1 << 30}
_SECONDS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}


def size_in_bytes(text: str) -> int:
    """'512MiB', '2GB', '1.5G' or a plain number of bytes."""
    found = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMG]?I?)B?', text.strip().upper())
    if not found or found.group(2) not in _BYTES:
        raise argparse.ArgumentTypeError(f'{text!r} is not a size such as 512MiB or 2GB')
    return int(float(found.group(1)) * _BYTES[found.group(2)])


def age_in_seconds(text: str) -> float:
    """'30d', '12h', '2w'."""
    found = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([smhdw])', text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f'{text!r} is not an age such as 12h, 30d or 2w')
    return float(found.group(1)) * _SECONDS[found.group(2)]


def batch_range(text: str) -> tuple[int, int, int]:
    """'4', or least, best and largest as '1:4:8'."""
    parts = text.split(':')
    if len(parts) == 1:
        parts *= 3
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f'{text!r} is neither a number nor MIN:OPT:MAX')
    low, best, high = map(int, parts)
    if not 1 <= low <= best <= high:
        raise argparse.ArgumentTypeError(f'{text!r}: it must be MIN <= OPT <= MAX, each at least 1')
    return low, best, high


def size_range(text: str) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """'640x384', or least, best and largest as '320x192:640x384:1280x768'."""
    parts = text.lower().split(':')
    if len(parts) == 1:
        parts *= 3
    found = [re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', part.strip()) for part in parts]
    if len(found) != 3 or None in found:
        raise argparse.ArgumentTypeError(f'{text!r} is neither WxH nor WxH:WxH:WxH')
    low, best, high = ((int(m.group(1)), int(m.group(2))) for m in found if m)
    if not all(a <= b <= c for a, b, c in zip(low, best, high, strict=True)):
        raise argparse.ArgumentTypeError(
            f'{text!r}: width and height must both be MIN <= OPT <= MAX'
        )
    return low, best, high


def shown_bytes(size: float) -> str:
    """'4.1 MB'."""
    for unit in ('B', 'kB', 'MB'):
        if size < 1000:
            return f'{size:.0f} {unit}' if unit == 'B' else f'{size:.1f} {unit}'
        size /= 1000
    return f'{size:.1f} GB'


def shown_age(seconds: float) -> str:
    """'5 min', '3 h', '12 d'."""
    for unit, length in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= length:
            return f'{seconds / length:.0f} {unit}'
    return 'now' if seconds < 10 else f'{seconds:.0f} s'
