"""A node's figures for Prometheus, on a port that only this machine reaches."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trt_perception.errors import MissingDependencyError
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.nodes.reports import Engine, Report
from trt_perception.pipeline.statistics import PAUSED

ADDRESS = '127.0.0.1'

LIFE_CYCLE = ('unconfigured', 'configuring', 'inactive', 'active', PAUSED)
"""States in which a node can be asked. ROS has the last one as active: see ~/enable."""

_PREFIX = 'trt_perception_'
_STAGE_HELP = 'Time in a stage over the newest images; stage since_stamp is the whole way.'


@dataclass(frozen=True)
class Told:
    """What a node reported last.

    Attributes:
        node: its full name.
        engine: what runs.
        reports: of the node as a whole, then of each camera where it has several.
        machine: GPU and process.
        state: one of `LIFE_CYCLE`.
    """

    node: str
    engine: Engine
    reports: Sequence[Report]
    machine: Machine
    state: str


class Metrics:
    """Answers Prometheus with what the node reported last, in threads of its own.

    A request reads what is there already, so that it costs the frames nothing.

    Attributes:
        trouble: in words, why nobody can ask; '' where somebody can, or where none shall.
    """

    def __init__(self) -> None:
        """Prepare; nothing listens before `open`."""
        self.trouble = ''
        self._told: Told | None = None
        self._server: Any = None
        self._thread: Any = None

    def open(self, port: int) -> None:
        """Listen; a port that cannot be had is told by `trouble`.

        Args:
            port: on `ADDRESS`; 0 for none.

        Raises:
            MissingDependencyError: prometheus-client is not installed.
        """
        self.close()
        if not port:
            return
        library = _library()
        registry = library.CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server = _server(port, library.make_wsgi_app(registry))
        except OSError as error:
            self.trouble = (
                f'metrics_port: cannot listen on {ADDRESS}:{port} ({error.strerror}), so that '
                'Prometheus gets no figures. Every node needs a port of its own, free and above '
                '1023: set another one'
            )
            return
        self._thread = threading.Thread(
            target=self._server.serve_forever, name='metrics', daemon=True
        )
        self._thread.start()

    def tell(self, told: Told) -> None:
        """What the next request is answered with."""
        self._told = told

    def close(self) -> None:
        """Listen no more."""
        self.trouble = ''
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def collect(self) -> Iterable[Any]:
        """The figures, for the library's registry."""
        told = self._told
        return [] if told is None else families(told)


def _server(port: int, answer: Any) -> Any:
    """A server that answers each request in a thread.

    The library's own cannot be ended up to its version 0.19, and Debian 12 has 0.16.

    Raises:
        OSError: the port cannot be had.
    """
    # Imported only where a port is set: they take a start's time.
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Silent(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return make_server(ADDRESS, port, answer, Server, Silent)


def families(told: Told) -> Iterator[Any]:
    """All figures of one node as metric families of prometheus_client, in its basic units."""
    yield from _states(told)
    yield from _frames(told)
    yield from _machine(told)


def _states(told: Told) -> Iterator[Any]:
    state = _gauge('state', 'As in /diagnostics: 0 OK, 1 WARN, 2 ERROR, 3 STALE.', 'camera')
    for report in told.reports:
        state.add_metric([told.node, _camera(report)], report.level)
    yield state
    life_cycle = _gauge('lifecycle_state', '1 for the state that the node is in, else 0.', 'state')
    for each in LIFE_CYCLE:
        life_cycle.add_metric([told.node, each], each == told.state)
    yield life_cycle
    if told.engine.model:
        facts = ('model', 'backend', 'precision', 'fingerprint', 'variant')
        info = _library().core.InfoMetricFamily(f'{_PREFIX}engine', 'What runs.', labels=['node'])
        info.add_metric([told.node], {fact: getattr(told.engine, fact) for fact in facts})
        yield info
        moves = _counter('variant_moves', 'Changes of precision or size.')
        moves.add_metric([told.node], told.engine.moves)
        yield moves


def _frames(told: Told) -> Iterator[Any]:
    taken = _counter('frames_in', 'Images published to the node.', 'camera')
    given = _counter('frames_out', 'Results published.', 'camera')
    dropped = _counter('frames_dropped', 'Images without a result.', 'camera', 'cause')
    rate = _gauge('rate_hertz', 'Results a second.', 'camera')
    age = _gauge('result_age_seconds', 'From the newest stamp to its result.', 'camera')
    stages = _gauge('stage_seconds', _STAGE_HELP, 'camera', 'stage', 'quantile')
    for report in _counted(told.reports):
        at = [told.node, _camera(report)]
        figures = report.snapshot
        if figures is None:
            continue
        taken.add_metric(at, figures.frames_in)
        given.add_metric(at, figures.frames_out)
        rate.add_metric(at, figures.rate_hz)
        age.add_metric(at, report.newest_age_s)
        for cause, count in figures.drops.items():
            dropped.add_metric([*at, cause], count)
        for stage in figures.stages:
            stages.add_metric([*at, stage.stage, '0.5'], stage.p50_ms / 1e3)
            stages.add_metric([*at, stage.stage, '0.99'], stage.p99_ms / 1e3)
    yield from (taken, given, dropped, rate, age, stages)


def _machine(told: Told) -> Iterator[Any]:
    """GPU and process; what is not known is left out."""
    gpu, process = told.machine.gpu, told.machine.process
    figures: list[tuple[str, str, float | None]] = []
    if process is not None:
        figures += [
            ('process_cpu_cores', 'Processor cores that the node takes.', process.cpu),
            ('process_resident_bytes', 'Resident memory.', process.rss_bytes),
            ('process_heap_bytes', 'Memory asked for and not freed.', process.heap_bytes or None),
            ('process_threads', 'Threads.', process.threads),
            ('process_open_files', 'Open files, sockets, pipes.', process.handles),
            ('machine_cpu_ratio', 'Share of all cores that is busy.', process.machine_cpu),
        ]
    if gpu is not None:
        figures += [
            ('gpu_utilisation_ratio', 'Share of time in which the GPU works.', gpu.utilisation),
            ('gpu_memory_used_bytes', 'Used memory of the GPU.', gpu.memory_used_bytes),
            ('gpu_memory_total_bytes', 'Memory of the GPU.', gpu.memory_total_bytes),
            ('gpu_temperature_celsius', 'Temperature of the GPU.', gpu.temperature_c),
            ('gpu_power_watts', 'Power that the GPU draws.', gpu.power_w),
            ('gpu_power_limit_watts', 'Power that it may draw.', gpu.power_limit_w),
        ]
    for name, meaning, value in figures:
        if value is not None:
            gauge = _gauge(name, meaning)
            gauge.add_metric([told.node], value)
            yield gauge


def _counted(reports: Sequence[Report]) -> Sequence[Report]:
    """Each image once: by camera where there are several, so that sums are right."""
    return reports[1:] or reports


def _camera(report: Report) -> str:
    return '' if report.subject == 'perception' else report.subject


def _gauge(name: str, meaning: str, *labels: str) -> Any:
    return _library().core.GaugeMetricFamily(_PREFIX + name, meaning, labels=['node', *labels])


def _counter(name: str, meaning: str, *labels: str) -> Any:
    return _library().core.CounterMetricFamily(_PREFIX + name, meaning, labels=['node', *labels])


def _library() -> Any:
    """prometheus_client, imported only where a port is set."""
    try:
        library = importlib.import_module('prometheus_client')
    except ImportError as error:
        raise MissingDependencyError(
            "metrics_port needs prometheus-client: pip install 'trt_perception[monitoring]', or "
            'python3-prometheus-client of the distribution; or set metrics_port to 0'
        ) from error
    importlib.import_module('prometheus_client.core')
    return library
