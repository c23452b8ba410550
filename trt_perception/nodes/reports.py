"""What a node reports of itself at 1 Hz: the messages on ~/stats and /diagnostics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from trt_perception.errors import FrameError
from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.monitoring.process_state import ProcessState
from trt_perception.msg import PipelineStats, StageLatency
from trt_perception.nodes.health import OK, Condition
from trt_perception.nodes.thresholds import worst
from trt_perception.pipeline.statistics import Snapshot

if TYPE_CHECKING:  # cameras and overlays report, too, and load no network
    from trt_perception.pipeline.perception import PerceptionPipeline

FAILURES = frozenset((*FrameError.CAUSES, 'inference', 'model_output', 'internal'))
"""Causes of drops which mean that a frame could not be used; the others were choices."""

SINCE_RESULT = 'since the newest result'
"""Among the values: how long ago it was published, so that the others are known to be as old."""

_MIB = 1 << 20

_LEVELS = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


@dataclass(frozen=True)
class Engine:
    """What runs, in words; all empty in a node that runs no network or is not configured.

    `variant` is the entry of `adaptive` that the next image takes, '' where there is none, and
    `moves` how often it changed.
    """

    model: str = ''
    backend: str = ''
    reason: str = ''
    precision: str = ''
    fingerprint: str = ''
    verified: str = ''
    variant: str = ''
    moves: int = 0


def engine_of(pipeline: PerceptionPipeline | None) -> Engine:
    """What an open pipeline runs."""
    if pipeline is None:
        return Engine()
    runtime = pipeline.runtime
    return Engine(
        pipeline.spec.name,
        runtime.backend,
        pipeline.choice.reason,
        runtime.precision,
        runtime.fingerprint,
        pipeline.choice.verified,
    )


def stats_message(
    stamp: Time, engine: Engine, snapshot: Snapshot, newest_age_s: float
) -> PipelineStats:
    """The message on ~/stats; see its definition for the meaning of each field."""
    message = PipelineStats(
        model=engine.model,
        backend=engine.backend,
        precision=engine.precision,
        engine_fingerprint=engine.fingerprint,
        frames_in=snapshot.frames_in,
        frames_out=snapshot.frames_out,
        frames_dropped=sum(snapshot.drops.values()),
        frames_failed=sum(n for cause, n in snapshot.drops.items() if cause in FAILURES),
        drop_causes=list(snapshot.drops),
        drop_counts=list(snapshot.drops.values()),
        rate_hz=snapshot.rate_hz,
        newest_age_s=newest_age_s,
        stages=[
            StageLatency(stage=s.stage, count=s.count, p50_ms=s.p50_ms, p99_ms=s.p99_ms)
            for s in snapshot.stages
        ],
    )
    message.header.stamp = stamp
    return message


@dataclass(frozen=True)
class Report:
    """What is said of one thing, such as a camera.

    Attributes:
        subject: what it is; the name of the node goes before it.
        state: in words; the text where there is no condition.
        conditions: what is to be said.
        values: figures, in words.
        snapshot: counters and latencies, as numbers; None where there are none.
        newest_age_s: from the stamp of the newest image to its result; NaN before the first.
    """

    subject: str
    state: str
    conditions: Sequence[Condition]
    values: Mapping[str, str]
    snapshot: Snapshot | None = None
    newest_age_s: float = math.nan

    @property
    def level(self) -> int:
        """Of the worst condition."""
        gravest = worst(self.conditions)
        return OK if gravest is None else gravest.level


def diagnostics_message(stamp: Time, node: str, reports: Sequence[Report]) -> DiagnosticArray:
    """The message on /diagnostics, with a status for each report."""
    message = DiagnosticArray(status=[_status(node, report) for report in reports])
    message.header.stamp = stamp
    return message


def _status(node: str, report: Report) -> DiagnosticStatus:
    """The worst level, and the texts of all conditions."""
    ordered = sorted(report.conditions, key=lambda condition: -condition.rank)
    return DiagnosticStatus(
        level=_LEVELS[report.level],
        name=f'{node}: {report.subject}',
        message='; '.join(condition.text for condition in ordered) or report.state,
        values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
    )


def engine_values(engine: Engine) -> dict[str, str]:
    """What runs, for /diagnostics; empty where nothing does."""
    if not engine.model:
        return {}
    values = {
        'model': engine.model,
        'backend': engine.backend,
        'backend reason': engine.reason,
        'precision': engine.precision,
        'engine fingerprint': engine.fingerprint,
    }
    if engine.verified:
        values['compared with float32'] = engine.verified
    if engine.variant:
        values |= {'variant': engine.variant, 'moves between variants': str(engine.moves)}
    return values


def pipeline_values(snapshot: Snapshot, newest_age_s: float, latest: str) -> dict[str, str]:
    """The figures, for /diagnostics."""
    values = {
        'rate': f'{snapshot.rate_hz:.1f} Hz',
        'frames in': str(snapshot.frames_in),
        'frames out': str(snapshot.frames_out),
        **{f'dropped, {cause}': str(count) for cause, count in _sorted(snapshot.drops)},
        **{f'{s.stage} p50 / p99': f'{s.p50_ms:.2f} / {s.p99_ms:.2f} ms' for s in snapshot.stages},
        'latest error': latest,
    }
    if math.isfinite(newest_age_s):
        values['age of the newest result'] = f'{newest_age_s * 1e3:.1f} ms'
    if math.isfinite(snapshot.since_newest_s):
        values[SINCE_RESULT] = f'{snapshot.since_newest_s:.1f} s'
    return values


def machine_values(machine: Machine) -> dict[str, str]:
    """How busy and full process and GPU are, for /diagnostics; what is not known is left out."""
    return {
        **(_process_values(machine.process) if machine.process else {}),
        **(_gpu_values(machine.gpu) if machine.gpu else {}),
    }


def _process_values(process: ProcessState) -> dict[str, str]:
    values = {
        'CPU': f'{process.cpu:.0%} of a core',
        'CPU of the machine': f'{process.machine_cpu:.0%}',
        'RSS': f'{process.rss_bytes / _MIB:.0f} MiB',
        'threads': str(process.threads),
        'open files': str(process.handles),
    }
    if process.heap_bytes:
        values['heap in use'] = f'{process.heap_bytes / _MIB:.1f} MiB'
    return values


def _gpu_values(gpu: GpuState) -> dict[str, str]:
    values = {'GPU': gpu.name}
    if gpu.utilisation is not None:
        values['GPU utilisation'] = f'{gpu.utilisation:.0%}'
    if gpu.memory_used_bytes is not None:
        of = f' of {gpu.memory_total_bytes / _MIB:.0f}' if gpu.memory_total_bytes else ''
        values['GPU memory'] = f'{gpu.memory_used_bytes / _MIB:.0f}{of} MiB'
    if gpu.temperature_c is not None:
        values['GPU temperature'] = f'{gpu.temperature_c:.0f} °C'
    if gpu.power_w is not None:
        of = f' of {gpu.power_limit_w:.0f}' if gpu.power_limit_w else ''
        values['GPU power'] = f'{gpu.power_w:.1f}{of} W'
    return values


def _sorted(drops: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(drops.items())
