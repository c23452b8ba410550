"""overlay_node: draws what the other nodes found into the camera's images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from trt_perception.drawing.drawn import Status
from trt_perception.errors import FrameError, ParameterError, PerceptionError
from trt_perception.model_spec import Color, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.msg import KeyPoints2DArray
from trt_perception.nodes.endpoints import SILENT_EVENTS, ResultSubscribers, unheard
from trt_perception.nodes.frame_subscription import Arrival, FrameSubscription
from trt_perception.nodes.health import WARN, Condition
from trt_perception.nodes.image_conversion import readable
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.messages import LATCHED, image_message
from trt_perception.nodes.overlay_inputs import color_chooser
from trt_perception.nodes.overlay_objects import class_names
from trt_perception.nodes.overlay_parameters import OverlayParameters
from trt_perception.nodes.overlay_picture import OverlayPainter
from trt_perception.palette import class_colors
from trt_perception.pipeline.pairing import Group, StampPairing
from trt_perception.pipeline.statistics import PAUSED, REPLACED, SINCE_STAMP
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.pipeline.worker import NewestFrameWorker
from trt_perception.preprocessing.colour import to_bgr

IMAGE = 'image'
RESULTS: Mapping[str, type] = {
    'detections': Detection2DArray,
    'instances': Detection2DArray,
    'instance_mask': Image,
    'mask': Image,
    'key_points': KeyPoints2DArray,
    'classification': Classification,
}
"""The inputs besides the image."""
LABELS = {
    'detections': 'detections_label_info',
    'instances': 'instances_label_info',
    'mask': 'label_info',
    'classification': 'classification_label_info',
}
"""The latched topics with the class names of an input."""
UNPAIRED = 'unpaired'
"""Cause of a drop: no results came for the image, but for a newer one."""

_UNSTAMPED = 0
"""The stamp of messages that have none: results with it may be those of any image."""

_LOOK_ROUND_S = 0.1
_FIRST_LOOK_ROUND_S = 0.02
"""At first more often: somebody may wait for the pictures of a node that was killed."""
_FIRST_S = 1.0
_DEPTH = 5


class OverlayNode(PerceptionNode[OverlayParameters]):
    """`image` and results in; `~/overlay` out, while somebody subscribes.

    Images are paired with the results of the same stamp; those without a stamp are drawn as they
    are. `detections` are drawn as boxes, `key_points` on them. An instance mask belongs to
    `instances`, or where nobody publishes those, to `detections`; `mask` may be a semantic or an
    instance mask. `classification` is a caption.
    """

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self._publisher: Publisher | None = None
        self._color_of: Callable[[str], Color] = color_chooser({})
        self._names: dict[str, dict[int, str]] = {name: {} for name in LABELS}
        self._pairing: StampPairing[Any] = StampPairing(IMAGE, (), timeout_s=0.0)
        self._expected: frozenset[str] = frozenset()
        self._left_out = 0
        self._images: FrameSubscription | None = None
        self._results: list[Subscription] = []
        self._labels: list[Subscription] = []
        self._worker: NewestFrameWorker[Group[Any]] | None = None
        self._timer: Timer | None = None
        self._first_until_s = math.inf
        self._result_subscribers = ResultSubscribers(self)
        super().__init__('overlay_node', OverlayParameters, **arguments)

    # The life cycle

    def check_parameters(self, candidate: OverlayParameters) -> None:
        """Refuse inputs that there are not."""
        for name in candidate.inputs:
            if name not in RESULTS:
                raise ParameterError(
                    f'inputs: {name!r} is not allowed; allowed: {", ".join(RESULTS)}'
                )

    def configure(self) -> None:
        """Read the models' colours and create the publisher."""
        self.check_parameters(self.parameters)
        self._color_of = color_chooser(self._known_colors())
        self._publisher = self.create_publisher(
            Image,
            '~/overlay',
            QoSProfile(depth=_DEPTH),
            event_callbacks=SILENT_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def activate(self) -> None:
        """Start to look whether somebody subscribes."""
        self._worker = NewestFrameWorker(
            self._draw,
            failed=self._failed,
            dropped=lambda _: self.statistics.frame_dropped(REPLACED),
            name='overlay',
        )
        self._worker.start()
        self._first_until_s = time.monotonic() + _FIRST_S
        self._timer = self.create_timer(_FIRST_LOOK_ROUND_S, self._look_round, clock=self._steady)

    def deactivate(self) -> None:
        """Take and draw nothing more."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        self._unsubscribe()
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop():
            self.get_logger().warning('the picture in work does not end; leaving it behind')

    def cleanup(self) -> None:
        """Remove the publisher."""
        if self._publisher is not None:
            self.destroy_publisher(self._publisher)
            self._publisher = None

    # Reports

    def conditions(self) -> Sequence[Condition]:
        """What hinders images from arriving, and whoever wants a picture from getting it."""
        if not self.enabled:
            return ()
        arriving = self._images.conditions() if self._images else []
        publishers = [self._publisher] if self._publisher else []
        return [
            *arriving,
            *(
                Condition(WARN, text)
                for subscription in (*self._results, *self._labels)
                for text in unheard(self, subscription)
            ),
            *self._result_subscribers.conditions(publishers),
        ]

    def diagnostic_values(self) -> Mapping[str, str]:
        """What is paired."""
        if self._images is None:
            return {'inputs': 'not subscribed, since nobody subscribes ~/overlay'}
        return {
            'inputs': ', '.join([IMAGE, *sorted(self._expected)]),
            'images that wait': str(len(self._pairing)),
        }

    # Inputs. All of this runs in the executor's thread

    def _look_round(self) -> None:
        watched = self._publisher is not None and self._publisher.get_subscription_count() > 0
        if watched and self._images is None:
            self._subscribe()
        elif not watched and self._images is not None:
            self._unsubscribe()
        if self._images is not None:
            self._expect()
            self._offer(self._pairing.overdue(time.monotonic()))
        if self._timer is not None and time.monotonic() > self._first_until_s:
            self._first_until_s = math.inf
            self._timer.timer_period_ns = round(_LOOK_ROUND_S * 1e9)

    def _subscribe(self) -> None:
        self._first_until_s = 0.0
        self._images = FrameSubscription(
            self,
            transport=self.parameters.image_transport,
            reliability=self.parameters.reliability,
            arrived=self._take_image,
            depth=_DEPTH,
        )
        for name, kind in RESULTS.items():
            self._results.append(
                self.create_subscription(kind, name, self._taker(name), QoSProfile(depth=_DEPTH))
            )
        for name, topic in LABELS.items():
            self._labels.append(
                self.create_subscription(LabelInfo, topic, self._label_taker(name), LATCHED)
            )
        self._expected = frozenset()
        self._expect(anew=True)

    def _unsubscribe(self) -> None:
        if self._images is not None:
            self._images.close()
            self._images = None
        for subscription in (*self._results, *self._labels):
            self.destroy_subscription(subscription)
        self._results.clear()
        self._labels.clear()
        self._pairing.clear()

    def _expect(self, anew: bool = False) -> None:
        """Wait for the inputs that are asked for, or else for those that have publishers."""
        wanted = frozenset(self.parameters.inputs) or frozenset(
            name
            for name, subscription in zip(RESULTS, self._results, strict=True)
            if self.count_publishers(subscription.topic_name)
        )
        if wanted == self._expected and not anew:
            return
        self._expected = wanted
        self._left_out = 0
        self._pairing = StampPairing(
            IMAGE,
            wanted,
            timeout_s=self.parameters.timeout,
            capacity=self.parameters.queue_size,
        )

    def _take_image(self, arrival: Arrival) -> None:
        self.statistics.frame_in()
        if not self.enabled:
            self.statistics.frame_dropped(PAUSED)
            return
        stamp_ns = arrival.frame.stamp_ns
        if stamp_ns == _UNSTAMPED:
            self._offer([Group(stamp_ns, {IMAGE: arrival}, self._expected)])
        else:
            self._pair(IMAGE, stamp_ns, arrival)

    def _taker(self, name: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            if name in self._expected and self.enabled:
                stamp = message.header.stamp
                stamp_ns = stamp.sec * 10**9 + stamp.nanosec
                if stamp_ns != _UNSTAMPED:
                    self._pair(name, stamp_ns, message)

        return take

    def _label_taker(self, name: str) -> Callable[[LabelInfo], None]:
        def take(message: LabelInfo) -> None:
            self._names[name] = class_names(message)

        return take

    def _pair(self, name: str, stamp_ns: int, item: Any) -> None:
        groups = self._pairing.add(name, stamp_ns, item, time.monotonic())
        for _ in range(self._pairing.left_out - self._left_out):
            self.statistics.frame_dropped(UNPAIRED)
        self._left_out = self._pairing.left_out
        self._offer(groups)

    def _offer(self, groups: Sequence[Group[Any]]) -> None:
        for group in groups:
            if self._worker is not None:
                self._worker.offer(group)

    # Drawing. All of this runs in the worker's thread

    def _draw(self, group: Group[Any]) -> None:
        publisher = self._publisher
        if publisher is None:
            return
        arrival: Arrival = group.items[IMAGE]
        waited_ms = (time.perf_counter() - arrival.received_s) * 1e3
        watch = Stopwatch()
        image = to_bgr(readable(arrival.frame))
        watch.lap('convert')
        painter = OverlayPainter(self.parameters, self._names, self._color_of)
        picture = painter.picture(image, group.items, self._status(group))
        watch.lap('draw')
        encoding = self.parameters.encoding
        pixels = picture if encoding == 'bgr8' else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        publisher.publish(image_message(pixels, encoding, arrival.header))
        watch.lap('publish')
        stages_ms = {'wait': waited_ms, **watch.laps_ms}
        stages_ms['total'] = sum(stages_ms.values())
        self.newest_age_s = self._age_s(group.stamp_ns)
        if not math.isnan(self.newest_age_s):
            stages_ms[SINCE_STAMP] = self.newest_age_s * 1e3
        self.statistics.frame_out(stages_ms, group.stamp_ns)
        self.health.succeeded()

    def _status(self, group: Group[Any]) -> Status:
        rate = self.statistics.snapshot().rate_hz
        missing = ', '.join(sorted(group.missing))
        return Status(rate_hz=rate or None, note=f'without {missing}' if missing else '')

    def _failed(self, group: Group[Any], error: Exception) -> None:
        cause = error.cause if isinstance(error, FrameError) else 'internal'
        self.statistics.frame_dropped(cause)
        self.health.failed(cause, f'picture left out: {type(error).__name__}: {error}')

    def _age_s(self, stamp_ns: int) -> float:
        now_ns = self.get_clock().now().nanoseconds
        return (now_ns - stamp_ns) * 1e-9 if stamp_ns and now_ns else math.nan

    def _known_colors(self) -> dict[str, Color]:
        """RGB by class name, of the models that are to be found."""
        colors: dict[str, Color] = {}
        for model in self.parameters.models:
            try:
                classes = load_model_spec(find_model(model)).classes
            except PerceptionError as error:
                self.get_logger().warning(f'colours of {model} are not used: {error}')
                continue
            for known, color in zip(classes, class_colors(classes).tolist(), strict=True):
                colors.setdefault(known.name, tuple(color))
        return colors
