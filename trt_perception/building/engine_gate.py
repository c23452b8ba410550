"""The gate of an engine: it is executed on a few images and compared with the float32 network.

It is executed on the very device that shall run it. Wrong results of a build that succeeded,
float16 that overflows, int8 that collapses: all of it shows here, and nowhere else before a robot
drives by it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trt_perception.building.calibration_ranges import CalibrationRanges
from trt_perception.building.gate import Comparison, GateFigures, first_images
from trt_perception.building.precision import Precision, PreparedGraph
from trt_perception.building.tensorrt_builder import BuiltPlan
from trt_perception.errors import (
    AccuracyError,
    BackendUnavailableError,
    MissingDependencyError,
    ParameterError,
    SourceError,
)
from trt_perception.model_spec import ModelSpec
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.protocol import Runtime
from trt_perception.sources.opening import open_source

GATE_IMAGES = 8
"""How many images an engine is compared on."""

_STREET = 'synthetic:calibration'


class EngineGate:
    """Compares engines of one model with its float32 network.

    Attributes:
        obstacle: why nothing could be compared, in words; '' if it was, or not tried yet.
    """

    def __init__(
        self,
        spec: ModelSpec,
        precision: Precision,
        ranges: CalibrationRanges | None,
        execute: Callable[[bytes, Precision], Runtime],
        *,
        least_batch: int = 1,
    ) -> None:
        """Prepare; nothing is loaded before it is needed.

        Args:
            spec: the model.
            precision: of the engines.
            ranges: of its calibration, whose images are used where they can be read.
            execute: loads a plan of a precision on the device.
            least_batch: images that the engines take at least.
        """
        self.obstacle = ''
        self._spec = spec
        self._precision: Precision = precision
        self._execute = execute
        self._least_batch = least_batch
        self._images = functools.partial(gate_images, ranges)

    def __call__(self, prepared: PreparedGraph, built: BuiltPlan) -> dict[str, Any]:
        """Figures of a new engine; see `engines.Gate`."""
        return self.measure(built.plan)

    def measure(self, plan: bytes) -> dict[str, Any]:
        """Figures of an engine for its header; {} where the float32 network cannot run here.

        Raises:
            PerceptionError: the engine cannot be executed, or its outputs are not the model's.
        """
        try:
            reference = OnnxRuntime(self._spec.onnx)
        except BackendUnavailableError as error:
            self.obstacle = str(error)
            return {}
        candidate = None
        try:
            comparison = Comparison(self._spec, reference, self._least_batch)
            comparison.look(self._images())
            candidate = self._execute(plan, self._precision)
            return comparison.figures(candidate).as_json()
        finally:
            reference.close()
            if candidate is not None:
                candidate.close()

    def verdict(self, figures: dict[str, Any]) -> str:
        """How well the engine agrees, in words for the log, VisionInfo and /diagnostics.

        Raises:
            AccuracyError: not as well as the model's limits ask.
        """
        if not figures:
            return f'not compared with float32: {self.obstacle or "it was not tried"}'
        return judged(self._spec, self._precision, figures)


@dataclass(frozen=True)
class Verdict:
    """How well an engine agrees with float32, in words, and which limits it misses."""

    words: str
    failures: tuple[str, ...]


def verdict_on(spec: ModelSpec, figures: dict[str, Any]) -> Verdict:
    """What figures of an engine's header say under a model's limits."""
    found = msgspec.convert(figures, GateFigures)
    return Verdict(found.in_words(), tuple(found.failures(spec.quantisation.gate)))


def judged(spec: ModelSpec, precision: str, figures: dict[str, Any]) -> str:
    """The words of `verdict_on`.

    Raises:
        AccuracyError: a limit is missed.
    """
    verdict = verdict_on(spec, figures)
    if not verdict.failures:
        return verdict.words
    remedy = (
        'Calibrate with images of the real scene; keep the layers in float that '
        '`trt_perception build MODEL --sensitivity` names; '
        if precision == 'int8'
        else 'Choose precision fp32; '
    )
    raise AccuracyError(
        f'the {precision} engine of {spec.name} is not accurate enough: '
        f'{"; ".join(verdict.failures)}. {remedy}allow another precision by '
        'fallback_precision; or lower the limits under `quantisation: gate` in the model YAML'
    )


def gate_images(ranges: CalibrationRanges | None) -> list[NDArray[np.uint8]]:
    """Up to `GATE_IMAGES` images, uint8 [H, W, 3] BGR each.

    Those of the calibration where they can still be read, else synthetic streets.
    """
    named = ranges.images.source if ranges else ''
    for text in dict.fromkeys((named or _STREET, _STREET)):
        try:
            with open_source(text) as source:
                if source.live:
                    continue
                images = first_images(source, GATE_IMAGES)
        except (SourceError, ParameterError, MissingDependencyError):
            continue
        if images:
            return images
    return []
