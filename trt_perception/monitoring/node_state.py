"""How one node, or one of its cameras, is doing, as it says itself."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class NodeState:
    """The newest report; '' and NaN for what it does not say.

    Attributes:
        node: its full name.
        camera: '' for the node as a whole.
        state: OK, WARN, ERROR or STALE.
        message: what is to be said, in words.
        rate_hz: results a second.
        frames_out: results so far.
        frames_dropped: images without a result so far; not those that came during a pause.
        p50_ms, p99_ms: from the stamp of an image to its result; from its arrival where it has
            no stamp.
        age_s: of the newest result when it was published.
        since_result_s: seconds since then.
        model, backend, precision: what runs.
        gpu, cpu, rss: with their units, of the node as a whole.
    """

    node: str
    camera: str = ''
    state: str = ''
    message: str = ''
    rate_hz: float = math.nan
    frames_out: int = 0
    frames_dropped: int = 0
    p50_ms: float = math.nan
    p99_ms: float = math.nan
    age_s: float = math.nan
    model: str = ''
    backend: str = ''
    precision: str = ''
    gpu: str = ''
    cpu: str = ''
    rss: str = ''
    since_result_s: float = math.nan

    @property
    def drop_share(self) -> float:
        """Of all images that were done with; NaN where none was."""
        done = self.frames_out + self.frames_dropped
        return self.frames_dropped / done if done else math.nan
