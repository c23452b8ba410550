"""Several variants of one model, of which each frame takes the one that fits the moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.adaptation.controller import Controller
from trt_perception.adaptation.settings import AdaptationSettings, MachineState, Move
from trt_perception.errors import ModelSpecError, PerceptionError
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import DecodeSettings
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.selection import BackendChoice

_TIMED_RUNS = 5


@dataclass(frozen=True)
class Variant:
    """One way to run the model.

    Attributes:
        name: for the log, such as 'street_detect int8'.
        pipeline: loaded; closed with the whole.
    """

    name: str
    pipeline: PerceptionPipeline


class AdaptivePipeline:
    """Looks at frames like a `PerceptionPipeline`, with the variant that fits. Used by one thread.

    All variants stay loaded, so that a move costs nothing and loses no frame. They must find the
    same classes in the same order, so that whoever reads the results sees no difference.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        settings: AdaptationSettings,
        *,
        moved: Callable[[str], None],
        machine: Callable[[], MachineState] = MachineState,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Time each variant, and begin with the first one.

        Args:
            variants: loaded, the most accurate first.
            settings: aim and patience.
            moved: told of each move, in words.
            machine: the newest state of the machine; asked once a frame, so it must be quick.
            clock: seconds, never going back.

        Raises:
            ModelSpecError: the variants do not do the same task with the same classes.
            InferenceError, ModelOutputError: one of them does not run.
            ParameterError: there is no variant.
        """
        _check_alike([variant.pipeline.spec for variant in variants])
        self._variants = tuple(variants)
        self._moved = moved
        self._machine = machine
        self._clock = clock
        self._target_ms = settings.target_latency_ms
        self._costs_ms = [_timed(variant.pipeline) for variant in variants]
        self._controller = Controller(self._costs_ms, settings)

    @property
    def variant(self) -> Variant:
        """The one that the next frame takes."""
        return self._variants[self._controller.current]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All of them, the most accurate first."""
        return self._variants

    def expected(self) -> str:
        """What each variant takes for a grey frame on the machine as it was, in words."""
        each = ', '.join(
            f'{variant.name} {cost_ms:.1f} ms'
            for variant, cost_ms in zip(self._variants, self._costs_ms, strict=True)
        )
        return f'{each}; the target is {self._target_ms:.1f} ms'

    def misordered(self) -> str:
        """Which variants bring nothing, in words; '' where each is faster than those before it."""
        slow = [
            variant.name
            for index, variant in enumerate(self._variants)
            if index and self._costs_ms[index] >= min(self._costs_ms[:index])
        ]
        if not slow:
            return ''
        return (
            f'adaptive: {", ".join(slow)} is not faster than what stands before it, and so no way '
            'out where images take too long. Name the most accurate first and the fastest last'
        )

    @property
    def spec(self) -> ModelSpec:
        """The model of the current variant."""
        return self.variant.pipeline.spec

    @property
    def runtime(self) -> Runtime:
        """The network of the current variant."""
        return self.variant.pipeline.runtime

    @property
    def choice(self) -> BackendChoice:
        """The backend of the current variant, and the reason for it."""
        return self.variant.pipeline.choice

    @property
    def max_batch(self) -> int | None:
        """Frames in one inference at most, in every variant; None where nothing bounds them."""
        bounds = [variant.pipeline.max_batch for variant in self._variants]
        return min((bound for bound in bounds if bound is not None), default=None)

    @property
    def settings(self) -> DecodeSettings:
        """Thresholds and class filter; those that are set hold for every variant."""
        return self.variant.pipeline.settings

    @settings.setter
    def settings(self, settings: DecodeSettings) -> None:
        for variant in self._variants:
            variant.pipeline.settings = settings

    @property
    def pictures(self) -> bool:
        """Whether results bring their pictures; set for every variant."""
        return self.variant.pipeline.pictures

    @pictures.setter
    def pictures(self, pictures: bool) -> None:
        for variant in self._variants:
            variant.pipeline.pictures = pictures

    def process_each(self, frames: Sequence[Frame]) -> list[Perceived | PerceptionError]:
        """See `PerceptionPipeline.process_each`."""
        return self.variant.pipeline.process_each(frames)

    def process_in_turn(self, frames: Sequence[Frame]) -> Iterator[Perceived | PerceptionError]:
        """See `PerceptionPipeline.process_in_turn`."""
        return self.variant.pipeline.process_in_turn(frames)

    def process(self, frames: Sequence[Frame]) -> list[Perceived]:
        """See `PerceptionPipeline.process`."""
        return self.variant.pipeline.process(frames)

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """See `PerceptionPipeline.frame_memory`; for the variant that the next frame takes."""
        return self.variant.pipeline.frame_memory(nbytes)

    def frame_done(self, latency_ms: float) -> None:
        """A frame's result is out; the next one may take another variant.

        Args:
            latency_ms: from the frame's arrival to its result.
        """
        move = self._controller.frame(latency_ms, self._clock(), self._machine())
        if move is not None:
            self._moved(self.told(move))

    def told(self, move: Move) -> str:
        """A move, in words."""
        names = (self._variants[move.origin].name, self._variants[move.target].name)
        return f'from {names[0]} to {names[1]}: {move.reason}'

    def warm_up(self) -> None:
        """Look at one grey frame with each variant."""
        for pipeline in self._pipelines():
            pipeline.warm_up()

    def make_room(self, batch: int) -> None:
        """See `PerceptionPipeline.make_room`."""
        for pipeline in self._pipelines():
            pipeline.make_room(batch)

    def close(self) -> None:
        """Free all networks."""
        for pipeline in self._pipelines():
            pipeline.close()

    def _pipelines(self) -> Iterator[PerceptionPipeline]:
        return (variant.pipeline for variant in self._variants)


AnyPipeline = PerceptionPipeline | AdaptivePipeline
"""What looks at frames, whether it can choose or not."""


def _timed(pipeline: PerceptionPipeline) -> float:
    """Milliseconds of the quickest of a few grey frames."""
    times = []
    for _ in range(1 + _TIMED_RUNS):  # the first one allocates
        watch = Stopwatch()
        pipeline.warm_up()
        watch.lap('all')
        times.append(watch.laps_ms['all'])
    return min(times)


def _check_alike(specs: Sequence[ModelSpec]) -> None:
    for spec in specs[1:]:
        first = specs[0]
        if spec.task != first.task or spec.class_names != first.class_names:
            raise ModelSpecError(
                f'{spec.name} ({spec.task}, {len(spec.classes)} classes) cannot take turns with '
                f'{first.name} ({first.task}, {len(first.classes)} classes): variants must do the '
                'same task with the same classes in the same order. Name precisions or sizes of '
                'one model'
            )
