"""What all nodes of the package say of themselves, heard from outside."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from trt_perception.closing import Closing
from trt_perception.monitoring.node_state import NodeState
from trt_perception.msg import PipelineStats
from trt_perception.nodes.health import IN_WORDS, STALE
from trt_perception.nodes.log_folder import log_arguments
from trt_perception.nodes.report_times import REPORT_PERIOD_S
from trt_perception.nodes.reports import SINCE_RESULT
from trt_perception.pipeline.statistics import PAUSED, SINCE_STAMP

SILENT_S = 3 * REPORT_PERIOD_S
"""Seconds without a report after which a node is taken for gone."""

_STATS = 'trt_perception/msg/PipelineStats'
_SETTLED_S = 2.5 * REPORT_PERIOD_S
"""Seconds after the last node that was found in which another one may yet be."""


@dataclass
class _Heard:
    """Of one node, or one camera of it."""

    node: str
    camera: str
    subscription: Any
    heard_s: float
    stats: PipelineStats | None = None

    @property
    def status_name(self) -> str:
        """What /diagnostics calls it."""
        return f'{self.node.lstrip("/")}: {self.camera or "perception"}'


class Overview(Closing):
    """Listens to ~/stats of every node and to /diagnostics, in the ROS domain of the process."""

    def __init__(self) -> None:
        """Begin to listen. SIGINT stays what it is in Python: KeyboardInterrupt."""
        self._context = rclpy.Context()
        rclpy.init(
            args=log_arguments(os.environ),
            context=self._context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = rclpy.create_node(
            f'trt_perception_top_{os.getpid()}',
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=50)
        )
        self._heard: dict[str, _Heard] = {}
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._found_s = time.monotonic()

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def listen(self, seconds: float) -> None:
        """Listen for so long, to nodes that have just come as well."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._look_round()
            self._executor.spin_once(timeout_sec=min(left, 0.2))

    def settle(self, patience_s: float) -> None:
        """Listen until every node that is there has reported, at most for `patience_s`."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end and not self._settled():
            self.listen(0.1)

    def states(self) -> list[NodeState]:
        """All nodes that were heard, each followed by its cameras."""
        heard = sorted(self._heard.values(), key=lambda one: (one.node, one.camera))
        return [self._state(one) for one in heard]

    def _settled(self) -> bool:
        if not self._heard or time.monotonic() - self._found_s < _SETTLED_S:
            return False
        return all(
            one.stats is not None and one.status_name in self._statuses
            for one in self._heard.values()
        )

    def _look_round(self) -> None:
        """Subscribe to nodes that have just come."""
        for topic, kinds in self._node.get_topic_names_and_types():
            if _STATS not in kinds or topic in self._heard:
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers or not publishers[0].node_name.strip('_'):
                continue
            publisher = publishers[0]
            name = f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
            if topic.startswith(f'{name}/'):
                self._subscribe(topic, name)

    def _subscribe(self, topic: str, name: str) -> None:
        camera = topic.removeprefix(f'{name}/').removesuffix('stats').rstrip('/')
        subscription = self._node.create_subscription(
            PipelineStats,
            topic,
            lambda message: self._on_stats(topic, message),
            QoSProfile(depth=1),
        )
        self._found_s = time.monotonic()
        self._heard[topic] = _Heard(name, camera, subscription, self._found_s)

    def _on_stats(self, topic: str, message: PipelineStats) -> None:
        heard = self._heard[topic]
        heard.stats, heard.heard_s = message, time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        told = {status.name: status for status in message.status}
        nodes = {_node_of(name) for name in told}
        # What a node no longer speaks of, such as the cameras of one that is inactive, is over.
        kept = {name: old for name, old in self._statuses.items() if _node_of(name) not in nodes}
        self._statuses = {**kept, **told}

    def _state(self, heard: _Heard) -> NodeState:
        status = self._statuses.get(heard.status_name)
        silent_s = time.monotonic() - heard.heard_s
        state, message = '', ''
        if status is not None:
            state, message = IN_WORDS.get(ord(status.level), ''), status.message
        values = {value.key: value.value for value in status.values} if status else {}
        since_result_s = _seconds(values.get(SINCE_RESULT, ''))
        if silent_s > SILENT_S:
            state = IN_WORDS[STALE]
            message = f'no report for {silent_s:.0f} s: the node has ended, or hangs'
            since_result_s += silent_s
        return NodeState(
            heard.node,
            heard.camera,
            state,
            message,
            **_figures(heard.stats),
            **_machine(values),
            since_result_s=since_result_s,
        )


def _node_of(status_name: str) -> str:
    return status_name.partition(': ')[0]


def _seconds(text: str) -> float:
    """NaN for what is no number of seconds: anybody may publish /diagnostics."""
    try:
        return float(text.removesuffix(' s'))
    except ValueError:
        return math.nan


def _figures(stats: PipelineStats | None) -> dict[str, Any]:
    if stats is None:
        return {}
    stages = {stage.stage: stage for stage in stats.stages}
    # Another program may publish what is not as long as it should be.
    causes = dict(zip(stats.drop_causes, stats.drop_counts, strict=False))
    whole = stages.get(SINCE_STAMP) or stages.get('total')
    return {
        'rate_hz': stats.rate_hz,
        'frames_out': stats.frames_out,
        'frames_dropped': stats.frames_dropped - causes.get(PAUSED, 0),
        'p50_ms': whole.p50_ms if whole else math.nan,
        'p99_ms': whole.p99_ms if whole else math.nan,
        'age_s': stats.newest_age_s,
        'model': stats.model,
        'backend': stats.backend,
        'precision': stats.precision,
    }


def _machine(values: dict[str, str]) -> dict[str, str]:
    gpu = (values.get('GPU utilisation', ''), values.get('GPU temperature', ''))
    return {
        'gpu': ' '.join(filter(None, gpu)),
        'cpu': values.get('CPU', '').removesuffix(' of a core'),
        'rss': values.get('RSS', ''),
    }
