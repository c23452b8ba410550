"""What all nodes with a network have in common: a model that looks at cameras' frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionInfo

from trt_perception.building.variants import variant_names
from trt_perception.errors import InferenceError, ParameterError
from trt_perception.families import Task
from trt_perception.msg import PipelineStats
from trt_perception.nodes.camera_input import CameraInput, Outputs
from trt_perception.nodes.camera_topics import check_heard_once, image_topics, private_prefix
from trt_perception.nodes.endpoints import UnservedSubscribers
from trt_perception.nodes.health import WARN, Beginnings, Condition
from trt_perception.nodes.inference_parameters import InferenceParameters
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.messages import (
    LATCHED,
    label_info_message,
    label_threshold,
    vision_info_message,
)
from trt_perception.nodes.model_opening import ModelOpening
from trt_perception.nodes.perception_loop import PerceptionLoop
from trt_perception.nodes.qos_overrides import RESULTS, overridable_publisher
from trt_perception.nodes.reports import Engine, Report, engine_of, stats_message
from trt_perception.pipeline.adaptive import AdaptivePipeline, AnyPipeline
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.results import DecodeSettings
from trt_perception.tracking.assignment import require_solver

Parameters = TypeVar('Parameters', bound=InferenceParameters)
Number = TypeVar('Number', int, float)


class InferenceNode(PerceptionNode[Parameters]):
    """A node that runs one model on the newest frames of its cameras. See `PerceptionLoop`.

    Attributes:
        pipeline: the model; None while unconfigured.
        loop: what takes the frames of the cameras through it; None while unconfigured.
        tracked: gives the objects of each camera ids; as old as the node, so that no id returns.
        opening: how the model is opened, and what has moved since.
        class_ids: what `hypothesis.class_id` says of each class.
    """

    TASKS: tuple[Task, ...]
    """The kinds of models that this node runs."""

    def __init__(self, name: str, kind: type[Parameters], **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self.pipeline: AnyPipeline | None = None
        self.loop: PerceptionLoop | None = None
        self.tracked = TrackedCameras()
        self.class_ids: tuple[str, ...] = ()
        self._camera_stats: list[tuple[CameraInput, Publisher]] = []
        self._publishers_made: list[Publisher] = []
        self._unserved = UnservedSubscribers(self)
        self._idle = Beginnings(lambda text: self.get_logger().warning(text))
        self._label_info: Publisher | None = None
        self._vision_info: Publisher | None = None
        self.opening = ModelOpening(self, self._moved)
        super().__init__(name, kind, **arguments)

    # What a node fills in

    @abstractmethod
    def outputs_for(self, task: Task, prefix: str) -> Outputs:
        """Create the publishers of one camera's results with `output`.

        Args:
            task: of the model.
            prefix: what the names of its topics begin with, '~/' or '~/front/'.
        """

    def announce(self, task: Task) -> None:
        """Create and publish what is the same for all cameras, after their publishers."""

    # The life cycle

    def configure(self) -> None:
        """Load the model, then create the publishers."""
        self.check_parameters(self.parameters)
        topics = image_topics(self.parameters)
        check_heard_once(self, topics)
        self.pipeline = pipeline = self.opening.open(self.TASKS)
        self.tracked.appearance = self.opening.appearance()
        spec = pipeline.spec
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
        cameras = [
            CameraInput(name, topic, self.outputs_for(spec.task, private_prefix(name)))
            for name, topic in topics.items()
        ]
        self.loop = PerceptionLoop(self, pipeline, cameras, self.tracked)
        self._camera_stats = [
            (camera, self.output(PipelineStats, f'{camera.prefix}stats', QoSProfile(depth=1)))
            for camera in cameras
            if camera.name
        ]
        self.announce(spec.task)
        self._publish_label_info()
        self.get_logger().info(
            f'{spec.name} ({spec.task}) runs on {pipeline.runtime.backend} in '
            f'{pipeline.runtime.precision}: {pipeline.choice.reason}'
        )

    def _moved(self) -> None:
        """Another variant takes the next image. Called in the worker's thread."""
        if self._vision_info is not None:
            self._publish_vision_info(self._vision_info)

    def activate(self) -> None:
        """Subscribe to the cameras, and let a worker take their frames."""
        assert self.loop is not None
        self.loop.start()

    def deactivate(self) -> None:
        """Let the worker end, take no more frames, and forget the objects that were followed."""
        if self.loop is not None and not self.loop.stop():
            raise InferenceError(
                'the network still works on a frame after 10 s. Deactivate the node again once it '
                'has answered; where it never does, end the process'
            )
        self.tracked.reset()

    def cleanup(self) -> None:
        """Take the publishers away and free the model."""
        self._camera_stats.clear()
        for publisher in self._publishers_made:
            self.destroy_publisher(publisher)
        self._publishers_made.clear()
        self.loop = None
        self._label_info = self._vision_info = None
        if self.tracked.appearance is not None:
            self.tracked.appearance.close()
            self.tracked.appearance = None
        if self.pipeline is not None:
            self.pipeline.close()
            self.pipeline = None

    # Parameters and reports

    def check_parameters(self, candidate: Parameters) -> None:
        """Refuse what does not go together, and classes that the model has not."""
        image_topics(candidate)
        variant_names(candidate.adaptive, candidate.model, candidate.precision)
        if 0 < candidate.max_age * 1e3 <= candidate.batch_deadline_ms:
            raise ParameterError(
                f'batch_deadline_ms {candidate.batch_deadline_ms:g} lets images wait for longer '
                f'than max_age {candidate.max_age:g} s allows: lower the one or raise the other'
            )
        if candidate.tracker_settings().kind != 'none':
            require_solver()
        if self.pipeline is not None:
            self.pipeline.spec.class_filter(candidate.class_filter)

    def parameters_changed(self, parameters: Parameters) -> None:
        """Decode the next frame with the new thresholds."""
        if self.pipeline is not None:
            self._apply(parameters)
            self._publish_label_info()

    def engine(self) -> Engine:
        """See `PerceptionNode`."""
        engine = engine_of(self.pipeline)
        if not isinstance(self.pipeline, AdaptivePipeline):
            return engine
        return replace(engine, variant=self.pipeline.variant.name, moves=self.opening.moves)

    def conditions(self) -> Sequence[Condition]:
        """See `PerceptionNode`."""
        if self.loop is None or not self.enabled:
            return ()
        note = self.tracked.note
        limits = self.parameters.thresholds()
        return [
            *self.loop.conditions(limits, images_expected=not self.clock_watch.halts_images),
            *limits.of_gpu(self.machine.newest.gpu),
            *self._unserved.conditions(self._publishers_made),
            *([Condition(WARN, note)] if note else ()),
        ]

    def diagnostic_values(self) -> Mapping[str, str]:
        """See `PerceptionNode`."""
        move = {'latest move': self.opening.latest_move} if self.opening.moves else {}
        return {**move, **(self.loop.values() if self.loop else {})}

    def camera_reports(self) -> Sequence[Report]:
        """See `PerceptionNode`. One for each of several cameras."""
        return self.loop.reports(self.enabled) if self.loop else ()

    def report(self) -> None:
        """See `PerceptionNode`. The figures of several cameras go to a ~/<camera>/stats each."""
        if self.loop is not None:
            self.loop.look()
        super().report()
        now = self.get_clock().now().to_msg()
        for camera, publisher in self._camera_stats:
            figures = (camera.snapshot, camera.newest_age_s)
            publisher.publish(stats_message(now, self.engine(), *figures))

    def output(self, kind: type, topic: str, profile: QoSProfile = RESULTS) -> Publisher:
        """Create a publisher, reliable unless overridden, that `cleanup` takes away."""
        publisher = overridable_publisher(self, kind, topic, profile)
        self._publishers_made.append(publisher)
        return publisher

    def publish_vision_info(self) -> None:
        """Create ~/vision_info and publish what looks at the images."""
        self._vision_info = self.output(VisionInfo, '~/vision_info', LATCHED)
        self._publish_vision_info(self._vision_info)

    def _publish_vision_info(self, publisher: Publisher) -> None:
        assert self.pipeline is not None
        assert self._label_info is not None
        publisher.publish(
            vision_info_message(
                self.pipeline.spec, self.engine(), self._label_info.topic_name, self._now()
            )
        )

    def _publish_label_info(self) -> None:
        if self.pipeline is not None and self._label_info is not None:
            spec = self.pipeline.spec
            threshold = label_threshold(spec, self.pipeline.settings)
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
        self.tracked.settings = follows = parameters.tracker_settings()
        self._idle.note(follows.without_effect(self.pipeline.settings.score))
        names = spec.class_names
        self.class_ids = (
            names if parameters.class_id == 'name' else tuple(map(str, range(len(names))))
        )

    def _now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())


def _or(value: Number | None, default: Number) -> Number:
    return default if value is None else value
