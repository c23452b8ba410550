"""From the cameras' frames to their published results."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trt_perception.errors import DeviceLostError, FrameError, InferenceError, ModelOutputError
from trt_perception.frames import Frame
from trt_perception.nodes.batch_size import NetworkBound, batch_size
from trt_perception.nodes.camera_input import CameraInput
from trt_perception.nodes.frame_subscription import Arrival, FrameSubscription
from trt_perception.nodes.frame_worker import FrameWorker, Taken
from trt_perception.nodes.health import ERROR, IN_WORDS, WARN, Condition
from trt_perception.nodes.health import STALE as SILENT
from trt_perception.nodes.image_conversion import readable
from trt_perception.nodes.image_wait import ImageWait
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.reports import Report
from trt_perception.nodes.stamp_watch import age_s, is_latency
from trt_perception.nodes.thresholds import Thresholds, worst
from trt_perception.pipeline.adaptive import AnyPipeline
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.statistics import PAUSED, SINCE_STAMP, STALE
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.pipeline.waiting_frames import WaitingFrames

_Usable = tuple[CameraInput, Arrival, Frame]


class PerceptionLoop:
    """Takes the newest frames of all cameras through one pipeline. See `work`.

    Attributes:
        cameras: with their publishers, figures and, while it runs, subscriptions.
    """

    def __init__(
        self,
        node: PerceptionNode[Any],
        pipeline: AnyPipeline,
        cameras: Sequence[CameraInput],
        tracked: TrackedCameras,
    ) -> None:
        """Prepare.

        Args:
            node: of `InferenceParameters`; counts for all cameras together, and has the clock.
            pipeline: the model.
            cameras: at least one.
            tracked: gives the objects ids.
        """
        self._tracked = tracked
        self.cameras = tuple(cameras)
        self._node = node
        self._pipeline = pipeline
        self._worker: FrameWorker | None = None
        self._said: dict[str, Sequence[Condition]] = {}

    # Its life, in the executor's thread

    def start(self) -> None:
        """Subscribe to the cameras, then let a worker take their frames."""
        parameters = self._node.parameters
        max_batch = self._max_batch()
        self._pipeline.make_room(max_batch)
        subscriptions = []
        for camera in self.cameras:
            subscriptions.append(
                FrameSubscription(
                    self._node,
                    transport=parameters.image_transport,
                    reliability=parameters.reliability,
                    image=camera.image,
                    memory=self._pipeline.frame_memory,
                )
            )
            camera.open(self._node, subscriptions[-1])
        self._worker = FrameWorker(
            self.cameras,
            ImageWait(self._node.context, [one.handle for one in subscriptions]),
            WaitingFrames(
                len(self.cameras),
                max_batch=max_batch,
                deadline_s=parameters.batch_deadline_ms * 1e-3,
            ),
            work=self.work,
            worked=self._node.between_frames,
            failed=self._faulted,
            paused=lambda: '' if self._node.enabled else PAUSED,
            max_age=lambda: self._node.parameters.max_age,
        )
        self._worker.start()

    def stop(self) -> bool:
        """Let the worker end, then take no more frames; False if it still works after 10 s."""
        ended = self._worker is None or self._worker.stop()
        if ended:
            self._worker = None
        for camera in self.cameras:
            camera.close()
        return ended

    def _max_batch(self) -> int:
        pipeline, parameters = self._pipeline, self._node.parameters
        runs = NetworkBound(pipeline.spec.name, pipeline.runtime.backend, pipeline.max_batch)
        size, said = batch_size(
            parameters.max_batch, len(self.cameras), runs, parameters.batch_deadline_ms
        )
        for text in said:
            self._node.get_logger().warning(text)
        return size

    # The way of a batch, in the worker's thread

    def work(self, batch: Sequence[Taken]) -> None:
        """Look at frames of different cameras and publish what is there."""
        taken_s = time.perf_counter()
        limit_s = self._node.parameters.max_age
        usable: list[_Usable] = []
        for camera, arrival in batch:
            if limit_s and self._age_s(arrival.frame.stamp_ns) > limit_s:
                camera.dropped(STALE)  # an age that is not known is not too high
                continue
            try:
                usable.append((camera, arrival, readable(arrival.frame)))
            except FrameError as error:
                self._failed(camera, error)
        self._pipeline.pictures = any(c.outputs.wants_pictures for c, _, _ in usable)
        self._see_through(usable, taken_s)
        self._note_stamps(batch, taken_s)

    def _see_through(self, usable: Sequence[_Usable], taken_s: float) -> None:
        through = 0
        outcomes = self._pipeline.process_in_turn([frame for _, _, frame in usable])
        try:
            for (camera, arrival, _), outcome in zip(usable, outcomes, strict=True):
                through += 1
                if isinstance(outcome, Exception):  # raised, it would keep its frame in a circle
                    self._failed(camera, outcome)
                    continue
                try:
                    self._publish(camera, arrival, outcome, taken_s)
                except Exception as error:  # of one camera: the others' results are good
                    self._failed(camera, error)
        except Exception as error:  # a fault of the pipeline costs every frame that was left
            if through == len(usable):
                raise
            for camera, _, _ in usable[through:]:
                self._failed(camera, error)

    def _publish(
        self, camera: CameraInput, arrival: Arrival, perceived: Perceived, taken_s: float
    ) -> None:
        wait_ms = (taken_s - arrival.received_s) * 1e3
        taken_ns = arrival.frame.stamp_ns or round(arrival.received_s * 1e9)
        perceived = self._tracked.follow(perceived, taken_ns, camera.name)
        publish_ms = camera.outputs.publish(perceived, arrival.header)
        stages_ms = {'wait': wait_ms, **perceived.stages_ms, **publish_ms}
        stages_ms['total'] = (time.perf_counter() - arrival.received_s) * 1e3
        stamp_ns = arrival.frame.stamp_ns
        result_age_s = self._age_s(stamp_ns)
        if is_latency(result_age_s):  # else it would hide the true ones for a long time
            stages_ms[SINCE_STAMP] = result_age_s * 1e3
        camera.served(stages_ms, stamp_ns, result_age_s)
        self._pipeline.frame_done(stages_ms['total'])

    def _note_stamps(self, batch: Sequence[Taken], taken_s: float) -> None:
        """Look for what is odd about the stamps; their results are out and need not wait for it.

        Args:
            batch: the frames.
            taken_s: when they were taken, by time.perf_counter.
        """
        clock = self._node.get_clock()
        now_ns, simulated = clock.now().nanoseconds, clock.ros_time_is_active
        if now_ns:
            now_ns -= round((time.perf_counter() - taken_s) * 1e9)
        for camera, arrival in batch:
            subscription = camera.subscription  # none where `stop` has not waited any longer
            if subscription is not None:
                subscription.stamps.note(arrival.frame.stamp_ns, now_ns, simulated=simulated)

    def _failed(self, camera: CameraInput, error: Exception) -> None:
        """A frame could not be used: count it and go on."""
        if isinstance(error, FrameError):
            camera.left_out(error)
            return
        text = str(error)
        if isinstance(error, InferenceError):
            cause = 'inference'
        elif isinstance(error, ModelOutputError):
            cause = 'model_output'
        else:
            cause = 'internal'
            trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
            text = f'image left out, by a fault in this package: {trace}'
        camera.failed(cause, text)
        if isinstance(error, DeviceLostError):
            # Not of this frame: none is served before the node is configured again.
            self._node.health.fault(text)

    def _faulted(self, error: Exception) -> None:
        """Something failed that belongs to no frame."""
        trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
        self._node.statistics.frame_dropped('internal')
        self._node.health.failed(
            'internal', f'images left out, by a fault in this package: {trace}'
        )

    # Reports, in the executor's thread

    def look(self) -> None:
        """Take the figures of all cameras as they are now."""
        for camera in self.cameras:
            camera.look()

    def conditions(
        self, limits: Thresholds, *, images_expected: bool = True
    ) -> Sequence[Condition]:
        """What is to be said of the cameras: of the only one all, of several which ones.

        Args:
            limits: what is still well.
            images_expected: False while none can come, so that nobody is called silent.
        """
        working_s = 0.0 if self._worker is None else self._worker.working_s
        hangs = 0 < limits.stale_after_s < working_s
        # Nobody takes the images of a network that hangs: that none comes would be wrong.
        if hangs or not images_expected:
            found = self._of_cameras(replace(limits, stale_after_s=0.0))
        else:
            found = self._of_cameras(limits)
        if not hangs:
            return found
        text = (
            f'the network has not answered for {working_s:.0f} s (stale_after is '
            f'{limits.stale_after_s:g} s): nothing is served until it does'
        )
        return [Condition(ERROR, text), *found]

    def _of_cameras(self, limits: Thresholds) -> Sequence[Condition]:
        self._said = {camera.name: camera.conditions(limits) for camera in self.cameras}
        if '' in self._said:
            return self._said['']
        told = self._node.health.condition()  # of the latest frame that failed, whosever it was
        gravest = {
            name: worst([one for one in found if told is None or one.text != told.text])
            for name, found in self._said.items()
        }
        unwell = {name: one.level for name, one in gravest.items() if one is not None}
        if not unwell:
            return []
        # One silent camera is a warning: the node serves the others.
        all_silent = list(unwell.values()) == [SILENT] * len(self.cameras)
        each = ', '.join(f'{name} is {IN_WORDS[level]}' for name, level in unwell.items())
        text = f'{each}: the status of each camera says why'
        return [Condition(SILENT if all_silent else WARN, text)]

    def values(self) -> Mapping[str, str]:
        """Figures of the only camera, or the names of several."""
        if self.cameras[0].name:
            return {'cameras': ', '.join(camera.name for camera in self.cameras)}
        return self.cameras[0].values()

    def reports(self, enabled: bool) -> Sequence[Report]:
        """One for each of several cameras while they are heard, with the latest `conditions`."""
        return [
            Report(
                camera.name,
                'active' if enabled else PAUSED,
                self._said.get(camera.name, ()) if enabled else (),
                camera.values(),
                camera.snapshot,
                camera.newest_age_s,
            )
            for camera in self.cameras
            if camera.name and self._worker is not None
        ]

    def _age_s(self, stamp_ns: int) -> float:
        return age_s(stamp_ns, self._node.get_clock().now().nanoseconds)
