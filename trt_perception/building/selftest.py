"""Verifies on a device what could not be verified where this package was made.

Every check is made with the real libraries of the machine. What cannot be checked there is said
to be so, with the reason; the rest is checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trt_perception.building.build_progress import BuildControl
from trt_perception.building.cpu_execution import for_onnxruntime, open_network
from trt_perception.building.device_facts import DeviceFacts, device_facts
from trt_perception.building.engine_cache import EngineCache
from trt_perception.building.engine_gate import EngineGate, judged
from trt_perception.building.engine_opening import EngineDevice, this_device
from trt_perception.building.engines import EngineRequest, Wish, obtain_engine, request_engine
from trt_perception.building.precision import PRECISIONS, Precision, prepare_graph
from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import BackendUnavailableError, BuildCancelledError, PerceptionError
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.runtime.obstacles import ENGINE_BACKENDS, obstacles
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.side_inputs import fed
from trt_perception.runtime.tensorrt_flavour import find_flavour

MODELS = ('street_detect', 'street_instance', 'street_semantic')
AHEAD = '8.6'
"""Compute capability that TensorRT-RTX builds for on a machine without a GPU that it serves."""

State = Literal['passed', 'failed', 'not verified']
RUNS = 100


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: such as 'street_detect int8: build'.
        state: 'not verified' where this machine cannot do it.
        detail: figures, or the reason, in words.
        seconds: that it took.
    """

    what: str
    state: State
    detail: str
    seconds: float = 0.0


@dataclass
class Report:
    """What came of a self-test."""

    facts: DeviceFacts
    checks: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.state == 'failed' for check in self.checks)


def selftest(
    folder: Path,
    *,
    models: Iterable[str] = MODELS,
    precisions: Iterable[Precision] = PRECISIONS,
    tell: Callable[[Check], None] = lambda check: None,
    cancelled: Callable[[], bool] = lambda: False,
    device: EngineDevice | None = None,
) -> Report:
    """Check everything, and go on after what fails.

    Args:
        folder: where engines are kept; empty, so that each is built.
        models: names or YAML files.
        precisions: some of `PRECISIONS`.
        tell: told of each check when it is over.
        cancelled: asked whether to stop.
        device: what builds and executes engines instead of this machine.

    Raises:
        BuildCancelledError: `cancelled` said so.
    """
    run = _Run(Report(device_facts()), EngineCache(folder), tell, cancelled)
    if device is None:
        device = run.find_device()
    for model in models:
        for precision in precisions:
            run.check_model(model, precision, device)
    return run.report


class _NotVerifiableError(PerceptionError):
    """This machine lacks what a check needs."""


@dataclass
class _Run:
    report: Report
    cache: EngineCache
    tell: Callable[[Check], None]
    cancelled: Callable[[], bool]
    obstacle: str = ''
    """Why engines cannot be executed here; '' if they can."""

    def find_device(self) -> EngineDevice | None:
        """What builds here, and whether it also executes."""
        for backend in ENGINE_BACKENDS:
            if not obstacles(backend):
                return this_device(backend)
        self.obstacle = 'no TensorRT can run here; the report on the machine says what each lacks'
        try:
            flavour = find_flavour('tensorrt-rtx')
        except BackendUnavailableError:
            return None

        def refuse(plan: bytes, precision: Precision) -> Runtime:
            raise BackendUnavailableError(self.obstacle)

        return EngineDevice(flavour, None, refuse, (AHEAD,))

    def check_model(self, model: str, precision: Precision, device: EngineDevice | None) -> None:
        """All checks of one model in one precision."""
        name = f'{Path(model).stem} {precision}'
        if self.cancelled():
            raise BuildCancelledError('the self-test was cancelled')
        try:
            model_yaml = find_model(model)
            spec = load_model_spec(model_yaml)
        except PerceptionError as error:
            self._say(Check(f'{name}: model', 'failed', str(error)))
            return
        if device is None:
            for what in ('build', 'gate', 'execute', 'cache hit'):
                self._say(Check(f'{name}: {what}', 'not verified', self.obstacle))
        else:
            wish = Wish(precision, targets=device.targets)
            try:
                request = request_engine(spec, model_yaml, wish, device.flavour, device.gpu)
            except PerceptionError as error:
                self._say(Check(f'{name}: request', 'failed', str(error)))
                return
            self._check_engine(name, request, device)
        self._try(f'{name}: graph on the CPU', lambda: self._graph(spec, model_yaml, precision))

    def _check_engine(self, name: str, request: EngineRequest, device: EngineDevice) -> None:
        control = BuildControl(cancelled=self.cancelled)
        plan = b''

        def build() -> str:
            nonlocal plan
            engine = obtain_engine(request, self.cache, control=control)
            plan = engine.plan
            facts = engine.facts
            return (
                f'by {device.flavour}: {len(plan) >> 10} KiB, {facts["layers"]} layers, int8 share '
                f'{facts["int8_share"]:.1%}, peak memory {facts["peak_memory_bytes"] >> 20} MiB'
            )

        def hit() -> str:
            start = time.perf_counter()
            engine = obtain_engine(request, self.cache, control=control)
            if engine.origin != 'cache':
                raise PerceptionError(f'it was built again: {engine.reason}')
            return f'{(time.perf_counter() - start) * 1e3:.1f} ms with its digest'

        if not self._try(f'{name}: build', build):
            return
        self._try(f'{name}: cache hit', hit)
        if self.obstacle:
            for what in ('gate', 'execute'):
                self._say(Check(f'{name}: {what}', 'not verified', self.obstacle))
            return
        self._try(f'{name}: gate', lambda: _gate(request, plan, device.execute))
        self._try(f'{name}: execute', lambda: _latency(request, plan, device.execute))

    def _graph(self, spec: ModelSpec, model_yaml: Path, precision: Precision) -> str:
        """The graph from which engines are built, executed by onnxruntime instead."""
        from trt_perception.building.calibration_ranges import load_ranges, ranges_path

        path = ranges_path(model_yaml)
        ranges = load_ranges(path) if precision != 'fp32' and path.is_file() else None
        keep = spec.quantisation.keep_float if precision == 'int8' else ()
        graph = for_onnxruntime(prepare_graph(spec.onnx, precision, ranges, keep).model)
        gate = EngineGate(spec, precision, ranges, lambda plan, _: open_network(graph))
        return _verdict(spec, precision, gate, b'')

    def _try(self, what: str, work: Callable[[], str]) -> bool:
        start = time.monotonic()
        state: State
        try:
            state, detail = 'passed', work()
        except BuildCancelledError:
            raise
        except _NotVerifiableError as error:
            state, detail = 'not verified', str(error)
        except PerceptionError as error:
            state, detail = 'failed', str(error)
        except Exception as error:  # the report is to be sent to somebody who can mend it
            state, detail = 'failed', f'{type(error).__name__}: {error}'
        self._say(Check(what, state, detail, round(time.monotonic() - start, 3)))
        return state == 'passed'

    def _say(self, check: Check) -> None:
        self.report.checks.append(check)
        self.tell(check)


def _gate(
    request: EngineRequest, plan: bytes, execute: Callable[[bytes, Precision], Runtime]
) -> str:
    precision = request.wish.precision
    gate = EngineGate(request.spec, precision, request.ranges, execute)
    return _verdict(request.spec, precision, gate, plan)


def _verdict(spec: ModelSpec, precision: Precision, gate: EngineGate, plan: bytes) -> str:
    figures = gate.measure(plan)
    if not figures:
        raise _NotVerifiableError(gate.obstacle)
    return judged(spec, precision, figures)


def _latency(
    request: EngineRequest, plan: bytes, execute: Callable[[bytes, Precision], Runtime]
) -> str:
    """Milliseconds of one inference with the copies to and from the device."""
    runtime = execute(plan, request.wish.precision)
    try:
        network = fed(runtime, side_inputs_for(request.spec, runtime.inputs))
        (images, *_) = network.inputs
        width, height = request.spec.input.size
        usual = (1, -1, height, width)
        shape = tuple(
            usual[axis] if extent < 0 else extent for axis, extent in enumerate(images.shape)
        )
        inputs: dict[str, Any] = {images.name: np.zeros(shape, images.dtype)}
        for _ in range(RUNS // 10):
            network.infer(inputs)
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            network.infer(inputs)
            times.append((time.perf_counter() - start) * 1e3)
    finally:
        runtime.close()
    p50, p99 = np.percentile(times, (50, 99))
    return f'p50 {p50:.3f} ms, p99 {p99:.3f} ms over {RUNS} runs of one image, copies included'
