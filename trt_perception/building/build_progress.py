"""How a build is watched and stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class BuildControl:
    """How a build is watched and stopped. Both are called from TensorRT's threads.

    Attributes:
        progress: told the share that is done, 0 to 1, and TensorRT's name of the present phase.
        cancelled: asked at every step whether to stop.
    """

    progress: Callable[[float, str], None] = lambda share, phase: None
    cancelled: Callable[[], bool] = lambda: False


class BuildWatch:
    """Stands between TensorRT's steps and the caller: an exception must not enter TensorRT."""

    def __init__(self, control: BuildControl) -> None:
        self.phases = Phases()
        self.cancelled = False
        self.failure: BaseException | None = None
        self._control = control

    def step(self, phase: str, step: int) -> bool:
        """Whether the build shall go on."""
        try:
            self._control.progress(self.phases.step(phase, step), phase)
            self.cancelled = self.cancelled or self._control.cancelled()
        except BaseException as error:  # Ctrl-C too; it is raised again when TensorRT returns
            self.failure = error
        return not self.cancelled and self.failure is None


class Phases:
    """Turns TensorRT's nested phases into one share between 0 and 1 that never falls."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._steps: dict[str, tuple[str | None, int, int]] = {}
        self._share = 0.0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside a step of `parent` if there is one."""
        self._steps[phase] = (parent or None, max(1, steps), 0)

    def step(self, phase: str, step: int) -> float:
        """Step number `step`, from 0, is complete; returns the share of the whole."""
        parent, steps, _ = self._steps.get(phase, (None, 1, 0))
        self._steps[phase] = (parent, steps, step + 1)
        share, inner = 0.0, phase
        seen = set()
        while inner in self._steps and inner not in seen:
            seen.add(inner)
            outer, steps, done = self._steps[inner]
            share = min(1.0, (done + share) / steps)
            inner = outer or ''
        self._share = max(self._share, share)
        return self._share

    def finish(self, phase: str) -> None:
        """A phase is over."""
        self._steps.pop(phase, None)
