"""What the demonstration hears of its nodes, and how it starts their camera.

Everything comes over real subscriptions; the nodes run in processes of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo, VisionInfo

from trt_perception.errors import PerceptionError
from trt_perception.frames import stamp_ns_of
from trt_perception.model_store import PACKAGE
from trt_perception.msg import PipelineStats
from trt_perception.nodes.memory import keep_freed_memory
from trt_perception.nodes.recorder import Recorder
from trt_perception.pipeline.pairing import StampPairing
from trt_perception.pipeline.statistics import Snapshot, StageLatency

CAMERA, DETECT, INSTANCE = 'camera_node', 'detect_node', 'instance_node'
SEMANTIC, OVERLAY = 'semantic_node', 'overlay_node'
NODES = (CAMERA, DETECT, INSTANCE, SEMANTIC, OVERLAY)
"""The nodes of the demonstration, in the order of its table."""

_LOOKING_ON = NODES[1:]
_PICTURES = 10
"""Pictures that may wait, of 2.8 MB each; the middleware keeps the memory of as many."""


@dataclass(frozen=True)
class Seen:
    """One picture of the overlay node.

    Attributes:
        picture: uint8 [H, W, 3] BGR.
        found: the detections in it as (class, score, (x1, y1, x2, y2)); None where none came.
    """

    picture: NDArray[np.uint8]
    found: Sequence[tuple[str, float, tuple[float, ...]]] | None


@dataclass(frozen=True)
class Detected:
    """What detect_node found in one frame.

    Attributes:
        stamp_ns: of the frame, nanoseconds.
        frame_id: of the camera.
        found: as in `Seen`.
    """

    stamp_ns: int
    frame_id: str
    found: Sequence[tuple[str, float, tuple[float, ...]]]


@dataclass
class _Reported:
    """What a node said of itself."""

    state: str = ''
    fault: str = ''
    values: Mapping[str, str] = field(default_factory=dict)
    stats: PipelineStats | None = None
    stats_at_s: float = 0.0
    rate_hz: float = 0.0


class DemoGraph:
    """A node that records the demonstration and watches its nodes.

    Attributes:
        pictures: how many came of the overlay node.
    """

    def __init__(
        self, bag: Path, seen: Callable[[Seen], None], detected: Callable[[Detected], None]
    ) -> None:
        """Join the ROS domain of the environment, and subscribe.

        Args:
            bag: folder of the bag to make.
            seen: told of each picture.
            detected: told of each frame's detections.

        Raises:
            OutputError: the bag cannot be made.
            MissingDependencyError: the library rosbags is not installed.
        """
        keep_freed_memory()
        self._seen = seen
        self._detected = detected
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('demo', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._reported = {name: _Reported() for name in NODES}
        self._pairing: StampPairing[Any] = StampPairing('picture', ['found'], timeout_s=2.0)
        self._newest_s = time.monotonic()
        self.pictures = 0
        try:
            self._recorder = Recorder(self._node, bag)
            self._subscribe()
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Finish the bag and leave the domain.

        Raises:
            OutputError: the disk is full.
        """
        try:
            self._recorder.close()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def serve(self, seconds: float) -> None:
        """Take in what comes within `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        self._hand_out(self._pairing.overdue(time.monotonic()))

    # The camera

    def ready(self) -> bool:
        """Whether every node that looks on is active and subscribes what it needs.

        Raises:
            PerceptionError: a node said that it cannot do its work.
        """
        for name, reported in self._reported.items():
            if reported.fault:
                raise PerceptionError(f'{name}: {reported.fault}')
        active = all(self._reported[name].state == 'active' for name in _LOOKING_ON)
        return active and self._node.count_subscribers('/image') >= len(_LOOKING_ON)

    def start_camera(self, timeout_s: float = 20.0) -> None:
        """Configure and activate the camera.

        Raises:
            PerceptionError: it refuses, or does not answer.
        """
        client = self._node.create_client(ChangeState, f'{CAMERA}/change_state')
        for step in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=step))
            if not client.wait_for_service(timeout_s):
                raise PerceptionError(f'{CAMERA} does not answer')
            answer = client.call_async(request)
            end = time.monotonic() + timeout_s
            while not answer.done() and time.monotonic() < end:
                self._executor.spin_once(timeout_sec=0.1)
            if not answer.done() or not answer.result().success:
                self.serve(1.5)
                raise PerceptionError(f'{CAMERA}: {self._reported[CAMERA].fault or "refuses"}')
            # What subscribes must know the camera before its first image.
            self.serve(0.5)

    @property
    def camera_state(self) -> str:
        """What the camera says of its source, such as 'running', 'lost' or 'finished'."""
        return self._reported[CAMERA].values.get('source state', '')

    @property
    def camera_frames(self) -> int:
        """How many images the camera has published, as far as it said."""
        return self.figures(CAMERA).frames_out

    @property
    def camera_fault(self) -> str:
        """Why the camera's source is lost, '' while it is not."""
        return self._reported[CAMERA].fault

    # Figures

    @property
    def quiet_s(self) -> float:
        """Seconds since the last picture, detection or mask came."""
        return time.monotonic() - self._newest_s

    def reported_since(self, moment_s: float) -> bool:
        """Whether every node has sent figures after `moment_s` of the monotonic clock."""
        return all(reported.stats_at_s > moment_s for reported in self._reported.values())

    def figures(self, name: str) -> Snapshot:
        """The newest figures of a node; its rate is the last one while it worked."""
        reported = self._reported[name]
        stats = reported.stats or PipelineStats()
        return Snapshot(
            stats.frames_in,
            stats.frames_out,
            dict(zip(stats.drop_causes, stats.drop_counts, strict=True)),
            tuple(StageLatency(s.stage, s.count, s.p50_ms, s.p99_ms) for s in stats.stages),
            reported.rate_hz,
            None,
        )

    def runs(self, name: str) -> str:
        """What a node runs, such as 'street_detect, onnxruntime-cpu fp32'; '' without a network."""
        stats = self._reported[name].stats
        if stats is None or not stats.model:
            return ''
        return f'{stats.model}, {stats.backend} {stats.precision}'

    # Subscriptions

    def _subscribe(self) -> None:
        record = self._recorder.record
        record('image/compressed', CompressedImage)
        record('camera_info', CameraInfo)
        record(f'{DETECT}/detections', Detection2DArray, also=self._on_detections)
        record(f'{INSTANCE}/detections', Detection2DArray)
        record(f'{INSTANCE}/mask', Image)
        record(f'{SEMANTIC}/mask', Image)
        for name in (DETECT, INSTANCE, SEMANTIC):
            record(f'{name}/label_info', LabelInfo, latched=True)
        for name in (DETECT, INSTANCE):
            record(f'{name}/vision_info', VisionInfo, latched=True)
        listen = self._node.create_subscription
        listen(Image, f'{OVERLAY}/overlay', self._on_picture, QoSProfile(depth=_PICTURES))
        listen(DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=50))
        for name in NODES:
            listen(PipelineStats, f'{name}/stats', self._stats_taker(name), QoSProfile(depth=5))

    def _on_picture(self, message: Image) -> None:
        self._newest_s = time.monotonic()
        self.pictures += 1
        pixels = np.frombuffer(message.data, np.uint8)
        picture = pixels.reshape(message.height, message.width, 3)
        self._pair('picture', stamp_ns_of(message.header), picture)

    def _on_detections(self, serialised: bytes) -> None:
        self._newest_s = time.monotonic()
        message = deserialize_message(serialised, Detection2DArray)
        found = [_found(detection) for detection in message.detections]
        stamp_ns = stamp_ns_of(message.header)
        self._detected(Detected(stamp_ns, message.header.frame_id, found))
        self._pair('found', stamp_ns, found)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            reported = self._reported.get(status.name.split(':')[0])
            if reported is not None:
                reported.values = {value.key: value.value for value in status.values}
                reported.state = reported.values.get('state', '')
                failed = status.level == DiagnosticStatus.ERROR
                reported.fault = status.message if failed else ''

    def _stats_taker(self, name: str) -> Callable[[PipelineStats], None]:
        def take(message: PipelineStats) -> None:
            reported = self._reported[name]
            reported.stats = message
            reported.stats_at_s = time.monotonic()
            if self.camera_state != 'finished' and message.rate_hz:
                reported.rate_hz = message.rate_hz

        return take

    def _pair(self, name: str, stamp_ns: int, item: Any) -> None:
        self._hand_out(self._pairing.add(name, stamp_ns, item, time.monotonic()))

    def _hand_out(self, groups: Sequence[Any]) -> None:
        for group in groups:
            self._seen(Seen(group.items['picture'], group.items.get('found')))


def programs() -> Path:
    """The folder of the installed executables."""
    return Path(get_package_prefix(PACKAGE)) / 'lib' / PACKAGE


def _found(detection: Any) -> tuple[str, float, tuple[float, ...]]:
    center, box = detection.bbox.center.position, detection.bbox
    x, y, width, height = center.x, center.y, box.size_x, box.size_y
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    hypothesis = detection.results[0].hypothesis
    return hypothesis.class_id, hypothesis.score, corners
