"""Opens a model on the best backend that is present, and builds its engine where that is missing.

This is what nodes and the command line use. `pipeline.perception.open_pipeline` is the part of it
that runs a network as its file has it. What engines need is imported only for them, so that a
node without them starts as quickly as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trt_perception.building.build_progress import BuildControl
from trt_perception.errors import BackendUnavailableError, ParameterError
from trt_perception.model_store import find_model
from trt_perception.pipeline.perception import (
    DEFAULT_USE,
    GpuUse,
    PerceptionPipeline,
    open_pipeline,
)
from trt_perception.runtime.obstacles import ENGINE_BACKENDS
from trt_perception.runtime.selection import FRAMES, BackendChoice, choose_backend

if TYPE_CHECKING:
    from trt_perception.building.engine_cache import EngineCache
    from trt_perception.building.engine_opening import EngineDevice

log = logging.getLogger(__name__)

FALLBACKS = ('none', 'fp16', 'fp32')
"""What `fallback` may be: the last precision that may be tried; 'none' allows only the first."""


@dataclass(frozen=True)
class Watch:
    """How opening is watched and stopped. The functions may be called from any thread.

    Attributes:
        control: of a build.
        tell: told what happens, a line each.
        warn: told what is not as it should be, with its remedy.
    """

    control: BuildControl = field(default_factory=BuildControl)
    tell: Callable[[str], None] = log.info
    warn: Callable[[str], None] = log.warning


def open_built_pipeline(
    model: str | Path,
    *,
    backend: str = 'auto',
    precision: str = 'fp32',
    fallback: str = 'none',
    threads: int | None = None,
    watch: Watch | None = None,
    cache: EngineCache | None = None,
    device: EngineDevice | None = None,
    gpu_use: GpuUse = DEFAULT_USE,
    max_batch: int = 1,
) -> PerceptionPipeline:
    """Load a model and make sure that it runs. Building an engine takes minutes.

    Args:
        model: a name in the package's `config/models`, or the path of a model YAML file.
        backend: one of `runtime.selection.BACKENDS`.
        precision: one of `runtime.selection.PRECISIONS`.
        fallback: one of `FALLBACKS`, for an engine that is not accurate enough.
        threads: CPU threads for one inference by onnxruntime; None leaves the choice to it.
        watch: how a build is watched and stopped.
        cache: where engines are kept; None: `engine_cache.default_folder`.
        device: what builds and executes engines instead of this machine.
        gpu_use: how a GPU is used.
        max_batch: images in one inference at most, at least 1. An engine is built for 1 to so
            many where the network leaves its batch open.

    Raises:
        AccuracyError: the engine differs too much from float32, and so does every precision
            that `fallback` allows.
        BuildCancelledError: `watch.control.cancelled` said so.
        PerceptionError: see `open_pipeline`, `request_engine` and `obtain_engine`.
    """
    if fallback not in FALLBACKS:
        raise ParameterError(f'fallback {fallback!r} is unknown; allowed: {", ".join(FALLBACKS)}')
    if max_batch < 1:
        raise ParameterError(f'max_batch {max_batch}: it must be at least 1')
    watch = watch or Watch()
    failed: dict[str, str] = {}
    while True:
        if device is not None:
            choice = BackendChoice(device.flavour.name, 'its device was given')
        else:
            choice = choose_backend(backend, precision, without=failed)
        if choice.backend not in ENGINE_BACKENDS:
            return _open_as_it_is(model, choice, backend, precision, threads, gpu_use)
        try:
            precisions = (precision, fallback)
            yaml = find_model(model)
            return _open_engine(yaml, choice, precisions, watch, cache, device, gpu_use, max_batch)
        except BackendUnavailableError as error:
            # Only 'auto' may go on without an engine, and only where nobody asked for one.
            if device is not None or backend != 'auto' or precision != 'fp32':
                raise
            failed[choice.backend] = str(error)
            watch.warn(f'going on without {choice.backend}: {error}')


def _open_as_it_is(
    model: str | Path,
    choice: BackendChoice,
    backend: str,
    precision: str,
    threads: int | None,
    gpu_use: GpuUse,
) -> PerceptionPipeline:
    """By a backend that needs no engine; the reason says, too, why there is none."""
    pipeline = open_pipeline(
        model, backend=backend, precision=precision, threads=threads, gpu_use=gpu_use
    )
    if pipeline.choice.backend == choice.backend:
        _, said, where = pipeline.choice.reason.partition(FRAMES)
        pipeline.choice = replace(choice, reason=f'{choice.reason}{said}{where}')
    return pipeline


def _open_engine(
    model_yaml: Path,
    choice: BackendChoice,
    precisions: tuple[str, str],
    watch: Watch,
    cache: EngineCache | None,
    device: EngineDevice | None,
    gpu_use: GpuUse,
    max_batch: int,
) -> PerceptionPipeline:
    from trt_perception.building.engine_cache import EngineCache, default_folder
    from trt_perception.building.engine_opening import EngineOpening, ladder, this_device

    opening = EngineOpening(
        device or this_device(choice.backend, gpu_use),
        choice,
        watch,
        cache or EngineCache(default_folder()),
        gpu_use,
        max_batch,
    )
    return opening.open(model_yaml, ladder(*precisions))
