"""Whether an engine takes a shape, and how to build one that does."""

from __future__ import annotations


def outside_profile(
    name: str, shape: tuple[int, ...], least: tuple[int, ...], greatest: tuple[int, ...]
) -> str:
    """What of an input's shape lies outside the engine's profile, with the remedy; '' if nothing.

    Args:
        name: of the input.
        shape: what shall be fed.
        least, greatest: of the profile, both included.
    """
    if len(shape) != len(least):
        return f'{name}: the engine takes {len(least)} axes, {least} to {greatest}, not {shape}'
    wrong = [
        axis
        for axis, (low, extent, high) in enumerate(zip(least, shape, greatest, strict=True))
        if not low <= extent <= high
    ]
    if not wrong:
        return ''
    whole = f'{name}: the engine takes {least} to {greatest}, not {shape}.'
    if wrong[0] == 0:
        return f'{whole} Build it with --batch for as many images'
    if len(shape) == 4 and wrong[0] > 1:
        return f'{whole} Build it with --size for pictures of {shape[3]}x{shape[2]}'
    return whole
