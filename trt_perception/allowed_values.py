"""What settings may be. A wrong one is refused with its name, its value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection

from trt_perception.errors import ParameterError


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, above_low: bool = False
) -> None:
    """Refuse a number that is not in `low`..`high`, or not finite.

    Args:
        name: of the setting, for the error.
        value: the number.
        low, high: the ends, which are allowed; with `above_low` the lower one is not.
        above_low: whether the number must be greater than `low`.

    Raises:
        ParameterError: it is not allowed.
    """
    if math.isfinite(value) and low <= value <= high and not (above_low and value == low):
        return
    if above_low:
        allowed = f'above {low:g}' + (f' and at most {high:g}' if math.isfinite(high) else '')
    elif math.isfinite(high):
        allowed = f'in {low:g} to {high:g}'
    else:
        allowed = f'a number of at least {low:g}'
    raise ParameterError(f'{name}: {value} is not {allowed}')


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a text that is not one of `choices`.

    Raises:
        ParameterError: it is another one.
    """
    if value not in choices:
        raise ParameterError(f'{name} {value!r}: choose one of {", ".join(choices)}')
