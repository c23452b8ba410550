"""Hears the results of the demonstration's nodes, drives their clock, and calls their services."""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

STREAMS = {
    'detect_node': ('detect_node/detections', Detection2DArray),
    'instance_node': ('instance_node/mask', Image),
    'semantic_node': ('semantic_node/mask', Image),
    'overlay_node': ('overlay_node/overlay', Image),
}
"""By node: the topic and the type of its results."""

SERVICES = {'enable': SetBool, 'change_state': ChangeState}
_NODES = ('camera_node', *STREAMS)
_STAMP = struct.Struct('=iI')
_NEW_NS = 60 * 10**9
"""A stamp that lies further ahead is one from before a jump of the clock."""


class SimulatedClock:
    """Publishes /clock from a thread; time can jump and stand still."""

    RATE_HZ = 100.0

    def __init__(self, node: Any) -> None:
        self._publisher = node.create_publisher(Clock, '/clock', QoSProfile(depth=1))
        self._offset_s = 1000.0 - time.monotonic()
        self._stands_at_s: float | None = None
        self._go_on = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def now_ns(self) -> int:
        """What it shows."""
        stands = self._stands_at_s
        return int((time.monotonic() + self._offset_s if stands is None else stands) * 1e9)

    def jump(self, seconds: float) -> None:
        """Go ahead, or back."""
        self._offset_s += seconds

    def stand(self, still: bool) -> None:
        """Stop, or go on from there."""
        now_s = self.now_ns() / 1e9
        self._offset_s = now_s - time.monotonic()
        self._stands_at_s = now_s if still else None

    def close(self) -> None:
        """Stop publishing."""
        self._go_on = False
        self._thread.join()

    def _run(self) -> None:
        while self._go_on:
            seconds, nanoseconds = divmod(self.now_ns(), 10**9)
            message = Clock()
            message.clock.sec, message.clock.nanosec = seconds, nanoseconds
            self._publisher.publish(message)
            time.sleep(1 / self.RATE_HZ)


class Probe:
    """A node whose callbacks run in a thread.

    Attributes:
        clock: None while the nodes have the system's time.
        heap_mb: by node: when it told in /diagnostics what its heap holds, and how much.
        waiting: when overlay_node told how many images wait for results, and how many.
    """

    def __init__(self) -> None:
        rclpy.init()
        self.clock: SimulatedClock | None = None
        self.heap_mb: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.waiting: list[tuple[float, float]] = []
        self._node = rclpy.create_node('endurance')
        self._arrivals = {name: array('d') for name in STREAMS}
        self._fresh: dict[str, float] = {}
        self._since_ns = 0
        for name, (topic, kind) in STREAMS.items():
            take = self._taker(name)
            self._node.create_subscription(kind, topic, take, QoSProfile(depth=5), raw=True)
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', self._heard, QoSProfile(depth=10)
        )
        self._clients = {
            (name, service): self._node.create_client(kind, f'{name}/{service}')
            for name, (service, kind) in itertools.product(_NODES, SERVICES.items())
        }
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._go_on = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the domain."""
        if self.clock is not None:
            self.clock.close()
        self._go_on = False
        self._thread.join(5.0)
        self._executor.shutdown()
        rclpy.try_shutdown()

    def simulate(self) -> SimulatedClock:
        """Publish /clock from now on."""
        self.clock = SimulatedClock(self._node)
        return self.clock

    def now_ns(self) -> int:
        """The time by which the camera stamps its images."""
        return self.clock.now_ns() if self.clock is not None else time.time_ns()

    def watch(self) -> None:
        """From now on look for results of images that are taken from now on."""
        self._since_ns = self.now_ns()
        self._fresh.clear()

    def fresh(self) -> dict[str, float]:
        """By node: when the first result came since `watch`, seconds of the monotonic clock."""
        return dict(self._fresh)

    def longest_gap_s(self, begin_s: float, end_s: float) -> float:
        """The longest time in which one of the nodes said nothing."""
        gaps = []
        for arrivals in self._arrivals.values():
            came = np.array(arrivals)
            came = came[(came > begin_s) & (came < end_s)]
            gaps.append(np.diff([begin_s, *came, end_s]).max())
        return float(max(gaps))

    def rates_hz(self, begin_s: float, end_s: float) -> dict[str, float]:
        """Results a second, by node."""
        found = {}
        for name, arrivals in self._arrivals.items():
            came = np.array(arrivals)
            within = int(((came > begin_s) & (came < end_s)).sum())
            found[name] = round(within / (end_s - begin_s), 2)
        return found

    def call(self, name: str, service: str, request: Any, tend: Callable[[], None]) -> bool:
        """Call a service; False where no answer comes within 5 s, or it is no."""
        client = self._clients[name, service]
        end = time.monotonic() + 5.0
        while not client.service_is_ready() and time.monotonic() < end:
            tend()
            time.sleep(0.02)
        answer = client.call_async(request)
        while not answer.done() and time.monotonic() < end:
            tend()
            time.sleep(0.01)
        return answer.done() and bool(answer.result().success)

    def _taker(self, name: str) -> Callable[[bytes], None]:
        def take(message: bytes) -> None:
            now = time.monotonic()
            self._arrivals[name].append(now)
            seconds, nanoseconds = _STAMP.unpack_from(message, 4)
            ahead_ns = seconds * 10**9 + nanoseconds - self._since_ns
            if 0 <= ahead_ns < _NEW_NS:
                self._fresh.setdefault(name, now)

        return take

    def _heard(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.partition(':')[0].rpartition('/')[2]
            now = time.monotonic()
            for value in status.values:
                if value.key == 'heap in use':
                    mib = float(value.value.removesuffix(' MiB'))
                    self.heap_mb[name].append((now, mib * 2**20 / 1e6))
                elif value.key == 'images that wait':
                    self.waiting.append((now, float(value.value)))

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while self._go_on and self._executor.context.ok():
                self._executor.spin_once(timeout_sec=0.2)
