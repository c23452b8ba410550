"""Engines among the networks that are measured: built, or taken from the cache, and executed.

Everything about them is TensorRT's own: accuracy, latency, size. That needs a device on which this
TensorRT runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from trt_perception.building.engine_cache import Engine, EngineCache, default_folder
from trt_perception.building.engine_gate import EngineGate, verdict_on
from trt_perception.building.engine_opening import EngineDevice, gated, loaded, this_device
from trt_perception.building.engines import EngineRequest, Wish, obtain_engine, request_engine
from trt_perception.building.precision import Precision
from trt_perception.evaluation.networks import Network, calibrated_with
from trt_perception.model_spec import ModelSpec
from trt_perception.runtime.selection import BackendChoice, choose_backend

Obtain = Callable[[EngineRequest, EngineCache, EngineGate], Engine]
"""Gets an engine out of the cache, or builds it; see `engines.obtain_engine`."""


def _obtain(request: EngineRequest, cache: EngineCache, gate: EngineGate) -> Engine:
    return obtain_engine(request, cache, gate=gate)


@dataclass(frozen=True)
class EngineSource:
    """Where engines come from and what executes them.

    Attributes:
        obtain: how they are got.
        cache: where they are kept.
        device: what builds and executes them; None is this machine.
    """

    obtain: Obtain = _obtain
    cache: EngineCache = field(default_factory=lambda: EngineCache(default_folder()))
    device: EngineDevice | None = None


def open_engine_network(
    spec: ModelSpec,
    model_yaml: Path,
    precision: Precision,
    *,
    backend: str,
    calibration: Path | None = None,
    keep_float: Collection[str] = (),
    source: EngineSource | None = None,
) -> Network:
    """A model's engine in one precision, ready to run, its first frame done.

    An engine that is less accurate than the model's limits allow is measured all the same; what
    the gate says of it is in `Network.verified`.

    Args:
        spec, model_yaml, precision, calibration, keep_float: see `networks.open_network`.
        backend: one of `runtime.obstacles.ENGINE_BACKENDS`.
        source: where engines come from.

    Raises:
        BackendUnavailableError: TensorRT cannot build or run here; what is missing is named.
        CalibrationError: 'int8' without a calibration that fits.
        PerceptionError: the engine cannot be built or executed.
    """
    source = source or EngineSource()
    if source.device is None:
        choice, device = choose_backend(backend, precision), this_device(backend)
    else:
        choice, device = BackendChoice(backend, 'its device was given'), source.device
    wish = Wish(precision, targets=device.targets, keep_float=tuple(keep_float))
    request = request_engine(
        spec, model_yaml, wish, device.flavour, device.gpu, calibration=calibration
    )
    gate = EngineGate(spec, precision, request.ranges, device.execute)
    engine = gated(source.obtain(request, source.cache, gate), request, source.cache, gate)
    before = psutil.Process().memory_info().rss
    pipeline = loaded(spec, engine.plan, precision, device, choice)
    grown = max(int(psutil.Process().memory_info().rss) - before, 0)
    return Network(
        precision,
        backend,
        pipeline,
        _how(device),
        len(engine.plan),
        grown,
        engine.facts['int8_share'],
        engine.facts['float_nodes'],
        calibrated_with(request.ranges, precision),
        _verdict(spec, engine, gate),
    )


def _how(device: EngineDevice) -> str:
    on = device.gpu.name if device.gpu else f'compute capability {", ".join(device.targets)}'
    return f'an engine by {device.flavour} on {on}'


def _verdict(spec: ModelSpec, engine: Engine, gate: EngineGate) -> str:
    figures = engine.facts['gate']
    if not figures:
        return f'not compared with float32: {gate.obstacle}'
    verdict = verdict_on(spec, figures)
    if verdict.failures:
        return f'{verdict.words}. Nodes would refuse it: {"; ".join(verdict.failures)}'
    return verdict.words
