"""What a node tells of itself: on ~/stats, in /diagnostics, and to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from trt_perception.monitoring.machine_watch import MachineWatch
from trt_perception.msg import PipelineStats
from trt_perception.nodes.clock_watch import ClockWatch
from trt_perception.nodes.health import ERROR, OK, WARN, Condition, Health
from trt_perception.nodes.metrics import Metrics, Told
from trt_perception.nodes.reports import (
    Engine,
    Report,
    diagnostics_message,
    engine_values,
    machine_values,
    pipeline_values,
    stats_message,
)
from trt_perception.pipeline.statistics import PAUSED, PipelineStatistics


class Reporting(Protocol):
    """What reports need of their node; see `PerceptionNode`."""

    statistics: PipelineStatistics
    health: Health
    newest_age_s: float
    enabled: bool
    doing: str
    machine: MachineWatch
    clock_watch: ClockWatch

    @property
    def state(self) -> str: ...

    @property
    def state_in_words(self) -> str: ...

    def engine(self) -> Engine: ...

    def conditions(self) -> Sequence[Condition]: ...

    def diagnostic_values(self) -> Mapping[str, str]: ...

    def camera_reports(self) -> Sequence[Report]: ...

    # Of rclpy's node

    def create_publisher(self, kind: type, topic: str, profile: QoSProfile) -> Publisher: ...

    def get_clock(self) -> Clock: ...

    def get_fully_qualified_name(self) -> str: ...

    def resolve_topic_name(self, topic: str) -> str: ...

    def count_publishers(self, topic: str) -> int: ...


class NodeReports:
    """Publishes how one node is doing.

    Attributes:
        metrics: for Prometheus.
    """

    def __init__(self, node: Reporting) -> None:
        """Create the publishers."""
        self.metrics = Metrics()
        self._node = node
        self._stats = node.create_publisher(PipelineStats, '~/stats', QoSProfile(depth=1))
        self._diagnostics = node.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10)
        )

    def publish(self) -> None:
        """Say how it is now."""
        node = self._node
        now = node.get_clock().now().to_msg()
        engine = node.engine()
        figures = (node.statistics.snapshot(), node.newest_age_s)
        self._stats.publish(stats_message(now, engine, *figures))
        values = {
            'state': node.state_in_words,
            **engine_values(engine),
            **pipeline_values(*figures, node.health.latest),
            **node.diagnostic_values(),
            **machine_values(node.machine.newest),
        }
        whole = Report('perception', values['state'], self._conditions(), values, *figures)
        reports = [whole, *node.camera_reports()]
        name = node.get_fully_qualified_name()
        state = PAUSED if node.state == 'active' and not node.enabled else node.state
        self.metrics.tell(Told(name, engine, reports, node.machine.newest, state))
        self._diagnostics.publish(diagnostics_message(now, name.lstrip('/'), reports))

    def _conditions(self) -> list[Condition]:
        node = self._node
        if node.doing:
            return [Condition(WARN, node.doing)]
        if node.state != 'active':
            fault = node.health.condition()
            return [fault] if fault and fault.level == ERROR else []
        of_clock = self._look_at_clock()  # before the others, which ask whether it goes on
        ours = [Condition(OK, node.state_in_words), *of_clock, *node.conditions()]
        if self.metrics.trouble:
            ours.append(Condition(WARN, self.metrics.trouble))
        failing = node.health.condition()
        return [failing, *ours] if failing else ours

    def _look_at_clock(self) -> list[Condition]:
        node, clock = self._node, self._node.get_clock()
        now_ns = clock.now().nanoseconds if clock.ros_time_is_active else None
        topic = node.resolve_topic_name('/clock')
        return node.clock_watch.look(now_ns, published=lambda: bool(node.count_publishers(topic)))
