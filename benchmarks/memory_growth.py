"""Whether memory grows: a line through samples, and how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np


def private_mb(memory: Any) -> float:
    """What a process shares with nobody, of psutil's `memory_info`."""
    return (memory.rss - memory.shared) / 1e6


def slope_with_error(times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Least squares; the error allows for neighbours in time that resemble each other.

    The number of independent samples is n (1 - r) / (1 + r) for the residuals' correlation r with
    their predecessors: Santer et al., J. Geophys. Res. 105, 7337 (2000), equation 6.
    Both are NaN for fewer than three samples, as of a process that just started.
    """
    if len(times) < 3:
        return np.nan, np.nan
    centred = times - times.mean()
    slope, level = np.polyfit(centred, values, 1)
    residuals = values - (level + slope * centred)
    power = float((residuals**2).sum())
    if power < 1e-12:
        return float(slope), 0.0
    correlation = float((residuals[1:] * residuals[:-1]).sum()) / power
    independent = max(len(values) * (1 - correlation) / (1 + correlation), 3.0)
    return float(slope), float(np.sqrt(power / (independent - 2) / (centred**2).sum()))
