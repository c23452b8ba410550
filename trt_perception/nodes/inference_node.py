"""What detection and segmentation have in common: a model that looks at a camera's frames."""

from __future__ import annotations

import math
import time
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionInfo

from trt_perception.building.build_progress import BuildControl
from trt_perception.building.opening import Watch, open_built_pipeline
from trt_perception.errors import (
    FrameError,
    InferenceError,
    ModelOutputError,
)
from trt_perception.model_spec import Task
from trt_perception.nodes.frame_subscription import Arrival, FrameSubscription
from trt_perception.nodes.health import Condition
from trt_perception.nodes.image_conversion import readable
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.messages import label_info_message, vision_info_message
from trt_perception.nodes.parameter_table import InferenceParameters
from trt_perception.nodes.reports import Engine
from trt_perception.nodes.tasks import check_task
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.statistics import REPLACED
from trt_perception.pipeline.worker import NewestFrameWorker
from trt_perception.results import DecodeSettings

PAUSED = 'paused'
"""Cause of a drop: the node was paused by ~/enable."""

RESULTS = QoSProfile(depth=5)
"""Reliable. So many results wait for a subscriber that is slow for a moment."""

_PROGRESS_PERIOD_S = 10.0
"""Seconds between two lines in the log about a build."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

Parameters = TypeVar('Parameters', bound=InferenceParameters)
Number = TypeVar('Number', int, float)


class InferenceNode(PerceptionNode[Parameters]):
    """A node that runs one model on the newest frame. See `work` for what happens to a frame.

    Attributes:
        pipeline: the model; None while unconfigured.
        class_ids: what `hypothesis.class_id` says of each class.
    """

    TASKS: tuple[Task, ...]
    """The kinds of models that this node runs."""

    def __init__(self, name: str, kind: type[Parameters], **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self.pipeline: PerceptionPipeline | None = None
        self.class_ids: tuple[str, ...] = ()
        self._subscription: FrameSubscription | None = None
        self._worker: NewestFrameWorker[Arrival] | None = None
        self._publishers_made: list[Publisher] = []
        self._label_info: Publisher | None = None
        self._progress_logged_s = -math.inf
        super().__init__(name, kind, **arguments)

    # What a node fills in

    @abstractmethod
    def create_outputs(self, task: Task) -> None:
        """Create the publishers of the results with `output`."""

    @abstractmethod
    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish what was found.

        Args:
            perceived: the result.
            header: of the source image.

        Returns:
            Milliseconds of the stages that this took.
        """

    # The way of a frame

    def take(self, arrival: Arrival) -> None:
        """A frame has come in: hand it to the worker. Runs in the executor's thread."""
        self.statistics.frame_in()
        if not self.enabled:
            self.statistics.frame_dropped(PAUSED)
        elif self._worker is not None:
            self._worker.offer(arrival)

    def work(self, arrival: Arrival) -> None:
        """Look at one frame and publish what is there. Runs in the worker's thread."""
        assert self.pipeline is not None
        wait_ms = _ms_since(arrival.received_s)
        [perceived] = self.pipeline.process([readable(arrival.frame)])
        publish_ms = self.publish(perceived, arrival.header)
        stages_ms = {'wait': wait_ms, **perceived.stages_ms, **publish_ms}
        stages_ms['total'] = _ms_since(arrival.received_s)
        self.newest_age_s = self._age_s(arrival.frame.stamp_ns)
        self.statistics.frame_out(stages_ms, arrival.frame.stamp_ns)
        self.health.succeeded()

    def replaced(self, arrival: Arrival) -> None:
        """A newer frame took the place of one that waited."""
        self.statistics.frame_dropped(REPLACED)

    def failed(self, arrival: Arrival, error: Exception) -> None:
        """A frame could not be used: count it and go on."""
        text = str(error)
        if isinstance(error, FrameError):
            cause = error.cause
            text = f'image on {self.input_topic} left out: {text}'
        elif isinstance(error, InferenceError):
            cause = 'inference'
        elif isinstance(error, ModelOutputError):
            cause = 'model_output'
        else:
            cause = 'internal'
            trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
            text = f'image left out, by a fault in this package: {trace}'
        self.statistics.frame_dropped(cause)
        self.health.failed(cause, text)

    # The life cycle

    def configure(self) -> None:
        """Load the model, then create the publishers."""
        pipeline = self.open_pipeline()
        self.pipeline = pipeline
        spec = pipeline.spec
        check_task(spec, self.TASKS, self.get_name())
        limits = spec.thresholds
        self.fill_parameters(
            {
                'score_threshold': limits.score,
                'iou_threshold': limits.iou,
                'max_detections': limits.max_detections,
            }
        )
        self._apply(self.parameters)
        self._label_info = self.output(LabelInfo, '~/label_info', LATCHED)
        self.create_outputs(spec.task)
        self._publish_label_info()
        self.get_logger().info(
            f'{spec.name} ({spec.task}) runs on {pipeline.runtime.backend} in '
            f'{pipeline.runtime.precision}: {pipeline.choice.reason}'
        )

    def open_pipeline(self) -> PerceptionPipeline:
        """The model that the parameters name; its engine is built where it is missing."""
        wanted = self.parameters
        return open_built_pipeline(
            wanted.model,
            backend=wanted.backend,
            precision=wanted.precision,
            fallback=wanted.fallback_precision,
            threads=wanted.threads or None,
            watch=self.watch(),
        )

    def watch(self) -> Watch:
        """How a build is told of in the log and in /diagnostics, and stopped with the process."""
        return Watch(
            BuildControl(self._building, self.stopping.is_set),
            lambda text: self.get_logger().info(text),
            lambda text: self.get_logger().warning(text),
        )

    def _building(self, share: float, phase: str) -> None:
        """Called from TensorRT's threads."""
        wanted = self.parameters
        self.doing = f'building {wanted.model} {wanted.precision}: {share:.0%}, {phase}'
        now = time.monotonic()
        if now - self._progress_logged_s >= _PROGRESS_PERIOD_S:
            self._progress_logged_s = now
            self.get_logger().info(self.doing)

    def activate(self) -> None:
        """Start the worker, then take frames."""
        self._worker = NewestFrameWorker(
            self.work,
            failed=self.failed,
            dropped=self.replaced,
        )
        self._worker.start()
        self._subscription = FrameSubscription(
            self,
            transport=self.parameters.image_transport,
            reliability=self.parameters.reliability,
            arrived=self.take,
        )

    def deactivate(self) -> None:
        """Take no more frames, then let the worker end."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        if self._worker is not None:
            if not self._worker.stop():
                raise InferenceError('the network still works on a frame after 10 s')
            self._worker = None

    def cleanup(self) -> None:
        """Take the publishers away and free the model."""
        for publisher in self._publishers_made:
            self.destroy_publisher(publisher)
        self._publishers_made.clear()
        self._label_info = None
        if self.pipeline is not None:
            self.pipeline.close()
            self.pipeline = None

    # Parameters and reports

    def check_parameters(self, candidate: Parameters) -> None:
        """Refuse a class filter that names no class of the model."""
        if self.pipeline is not None:
            self.pipeline.spec.class_filter(candidate.class_filter)

    def parameters_changed(self, parameters: Parameters) -> None:
        """Decode the next frame with the new thresholds."""
        if self.pipeline is not None:
            self._apply(parameters)
            self._publish_label_info()

    def engine(self) -> Engine:
        """See `PerceptionNode`."""
        if self.pipeline is None:
            return Engine()
        runtime = self.pipeline.runtime
        return Engine(
            self.pipeline.spec.name,
            runtime.backend,
            self.pipeline.choice.reason,
            runtime.precision,
            runtime.fingerprint,
            self.pipeline.choice.verified,
        )

    def conditions(self) -> Sequence[Condition]:
        """See `PerceptionNode`."""
        return self._subscription.conditions() if self._subscription and self.enabled else ()

    def diagnostic_values(self) -> Mapping[str, str]:
        """See `PerceptionNode`."""
        if self._subscription is None:
            return {}
        stamps = self._subscription.stamps
        return {
            'images from': self.input_topic,
            'images with stamp zero': str(stamps.zero),
            'stamps going backwards': str(stamps.backward),
        }

    @property
    def input_topic(self) -> str:
        """The topic of the images, '' while inactive."""
        return self._subscription.topic if self._subscription else ''

    def output(self, kind: type, topic: str, profile: QoSProfile | None = None) -> Publisher:
        """Create a publisher, reliable unless overridden, that `cleanup` takes away."""
        publisher = self.create_publisher(
            kind,
            topic,
            profile or RESULTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._publishers_made.append(publisher)
        return publisher

    def publish_vision_info(self) -> None:
        """Create ~/vision_info and publish what looks at the images."""
        assert self.pipeline is not None
        assert self._label_info is not None
        self.output(VisionInfo, '~/vision_info', LATCHED).publish(
            vision_info_message(
                self.pipeline.spec, self.engine(), self._label_info.topic_name, self._now()
            )
        )

    def _publish_label_info(self) -> None:
        if self.pipeline is not None and self._label_info is not None:
            spec = self.pipeline.spec
            threshold = 0.0 if spec.task == 'semantic' else self.pipeline.settings.score
            self._label_info.publish(label_info_message(spec, threshold, self._now()))

    def _apply(self, parameters: Parameters) -> None:
        """Hand the parameters that may change at any time to the pipeline."""
        assert self.pipeline is not None
        spec = self.pipeline.spec
        limits = spec.thresholds
        self.pipeline.settings = DecodeSettings(
            _or(parameters.score_threshold, limits.score),
            _or(parameters.iou_threshold, limits.iou),
            _or(parameters.max_detections, limits.max_detections),
            spec.class_filter(parameters.class_filter),
        )
        names = spec.class_names
        self.class_ids = (
            names if parameters.class_id == 'name' else tuple(map(str, range(len(names))))
        )

    def _now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    def _age_s(self, stamp_ns: int) -> float:
        """Seconds since a stamp, by the node's clock; NaN for a frame without one."""
        if stamp_ns == 0:
            return math.nan
        return float((self.get_clock().now().nanoseconds - stamp_ns) * 1e-9)


def _or(value: Number | None, default: Number) -> Number:
    return default if value is None else value


def _ms_since(moment_s: float) -> float:
    return (time.perf_counter() - moment_s) * 1e3
