"""Compares what two forms of a network compute on random images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ExportError
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime

TOLERANCE = 1e-3
"""Greatest allowed difference, as a share of an output's largest magnitude."""


def random_images(shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    """float32 of a shape, evenly spread over 0..1; the same for the same seed."""
    return np.random.default_rng(seed).random(tuple(shape), np.float32)


def outputs_of(path: Path, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What an ONNX file answers to images, by onnxruntime on the CPU.

    Raises:
        BackendUnavailableError: onnxruntime is not installed.
        ModelFileError, InferenceError: it does not run.
    """
    runtime = OnnxRuntime(path)
    try:
        answers = runtime.infer({runtime.inputs[0].name: images.astype(runtime.inputs[0].dtype)})
        return {name: np.array(value) for name, value in answers.items()}
    finally:
        runtime.close()


def greatest_difference(
    expected: Sequence[NDArray[Any]], found: Mapping[str, NDArray[Any]], origin: str
) -> float:
    """By how much the outputs differ, as a share of the largest magnitude of each.

    Raises:
        ExportError: by more than `TOLERANCE`, or their shapes differ.
    """
    if len(expected) != len(found):
        raise ExportError(f'{origin}: {len(found)} outputs, but the original has {len(expected)}')
    worst = 0.0
    for want, (name, got) in zip(expected, found.items(), strict=True):
        if want.shape != got.shape:
            raise ExportError(
                f'{origin}: {name} is {list(got.shape)}, but the original gives {list(want.shape)}'
            )
        scale = max(float(np.abs(want).max(initial=0.0)), 1e-6)
        apart = np.abs(want.astype(np.float64) - got.astype(np.float64)).max(initial=0.0) / scale
        if not apart <= TOLERANCE:
            raise ExportError(
                f'{origin}: {name} differs from the original on random images by {apart:.2g} of '
                f'its largest value; {TOLERANCE:.0e} is allowed. The network may behave otherwise '
                'while it is traced, or depend on chance: is dropout off?'
            )
        worst = max(worst, float(apart))
    return worst
