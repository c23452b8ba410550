"""overlay_node: draws what the other nodes found into the camera's images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
from rclpy.publisher import Publisher
from rclpy.timer import Timer
from sensor_msgs.msg import Image

from trt_perception.drawing.drawn import Status
from trt_perception.errors import FrameError, ParameterError, PerceptionError
from trt_perception.model_spec import Color, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.nodes.endpoints import UnservedSubscribers
from trt_perception.nodes.frame_subscription import Arrival
from trt_perception.nodes.health import Condition
from trt_perception.nodes.image_conversion import readable
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.messages import image_message
from trt_perception.nodes.overlay_inputs import IMAGE, RESULTS, OverlayInputs
from trt_perception.nodes.overlay_masks import color_chooser
from trt_perception.nodes.overlay_parameters import OverlayParameters
from trt_perception.nodes.overlay_picture import OverlayPainter
from trt_perception.nodes.qos_overrides import overridable_publisher
from trt_perception.nodes.stamp_watch import age_s, is_latency
from trt_perception.palette import class_colors
from trt_perception.pipeline.pairing import Group
from trt_perception.pipeline.statistics import REPLACED, SINCE_STAMP
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.pipeline.worker import NewestFrameWorker
from trt_perception.preprocessing.colour import to_bgr

_LOOK_ROUND_S = 0.1
_FIRST_LOOK_ROUND_S = 0.02
"""At first more often: somebody may wait for the pictures of a node that was killed."""
_FIRST_S = 1.0


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
        self._inputs = OverlayInputs(self, self._offer)
        self._worker: NewestFrameWorker[Group[Any]] | None = None
        self._timer: Timer | None = None
        self._first_until_s = math.inf
        self._unserved = UnservedSubscribers(self)
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
        self._publisher = overridable_publisher(self, Image, '~/overlay')

    def activate(self) -> None:
        """Start to look whether somebody subscribes."""
        self._inputs.check()
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
        self._inputs.close()
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
        publishers = [self._publisher] if self._publisher else []
        of_inputs = self._inputs.conditions(images_expected=not self.clock_watch.halts_images)
        return [*of_inputs, *self._unserved.conditions(publishers)]

    def diagnostic_values(self) -> Mapping[str, str]:
        """What is paired."""
        return self._inputs.values()

    # What to draw, in the executor's thread

    def _look_round(self) -> None:
        watched = self._publisher is not None and self._publisher.get_subscription_count() > 0
        if watched and not self._inputs.is_open:
            self._first_until_s = 0.0
            self._inputs.open()
        elif not watched and self._inputs.is_open:
            self._inputs.close()
        if self._inputs.is_open:
            self._inputs.look()
        if self._timer is not None and time.monotonic() > self._first_until_s:
            self._first_until_s = math.inf
            self._timer.timer_period_ns = round(_LOOK_ROUND_S * 1e9)

    def _offer(self, group: Group[Any]) -> None:
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
        painter = OverlayPainter(self.parameters, self._inputs.names, self._color_of)
        picture = painter.picture(image, group.items, self._status(group))
        watch.lap('draw')
        encoding = self.parameters.encoding
        pixels = picture if encoding == 'bgr8' else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        publisher.publish(image_message(pixels, encoding, arrival.header))
        watch.lap('publish')
        stages_ms = {'wait': waited_ms, **watch.laps_ms}
        stages_ms['total'] = sum(stages_ms.values())
        self.newest_age_s = age_s(group.stamp_ns, self.get_clock().now().nanoseconds)
        if is_latency(self.newest_age_s):
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
