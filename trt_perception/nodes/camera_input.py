"""One camera of a node: where its frames come from, what becomes of them, how it is doing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from std_msgs.msg import Header

from trt_perception.errors import FrameError
from trt_perception.nodes.camera_topics import private_prefix
from trt_perception.nodes.frame_subscription import FrameSubscription
from trt_perception.nodes.health import Condition, Health
from trt_perception.nodes.reports import pipeline_values
from trt_perception.nodes.thresholds import RecentDrops, Thresholds
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.statistics import PipelineStatistics, Snapshot


class Outputs(ABC):
    """The publishers of one camera, and what is remembered from one of its frames to the next."""

    @abstractmethod
    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish what was found in one frame. Runs in the worker's thread.

        Args:
            perceived: the result.
            header: of the source image.

        Returns:
            Milliseconds of the stages that this took.
        """

    @property
    def wants_pictures(self) -> bool:
        """Whether the next result's pictures will be published; see `PerceptionPipeline`."""
        return False


class Publishing(Protocol):
    """What outputs need of whoever publishes for them: a node, or a bag that is written."""

    pipeline: PerceptionPipeline | None
    class_ids: tuple[str, ...]

    def output(self, kind: type, topic: str) -> Any: ...


class Tallied(Protocol):
    """What a camera counts into besides its own figures: the node as a whole."""

    statistics: PipelineStatistics
    health: Health
    newest_age_s: float


class CameraInput:
    """A camera of an inference node, from its configuration to its cleanup.

    The only camera of a node has no name and no figures of its own: they are the node's.

    Attributes:
        name: '' for the only one.
        outputs: its publishers.
        statistics: its counters and latencies since the activation.
        health: what went wrong with its frames lately.
        newest_age_s: from the stamp of its newest frame to the result; NaN before the first.
        subscription: its images; None while the node is not active.
        snapshot: its figures when `look` was last called.
    """

    def __init__(self, name: str, image: str, outputs: Outputs) -> None:
        """Describe it.

        Args:
            name: '' for the only one.
            image: topic of its images, before remapping.
            outputs: its publishers.
        """
        self.name = name
        self.image = image
        self.outputs = outputs
        self.statistics = PipelineStatistics()
        self.health = Health(lambda _: None)  # the node logs
        self.newest_age_s = math.nan
        self.subscription: FrameSubscription | None = None
        self.snapshot: Snapshot = self.statistics.snapshot()
        self._recent_drops = RecentDrops()
        self._tallies: tuple[PipelineStatistics, ...] = ()
        self._node: Tallied | None = None

    @property
    def prefix(self) -> str:
        """What its topics begin with."""
        return private_prefix(self.name)

    @property
    def topic(self) -> str:
        """Full name of the topic of its images, '' while the node is not active."""
        return self.subscription.topic if self.subscription else ''

    def open(self, node: Tallied, subscription: FrameSubscription) -> None:
        """Begin anew, with counters at zero."""
        self._node = node
        self.subscription = subscription
        self.newest_age_s = math.nan
        self._recent_drops = RecentDrops()
        if not self.name:
            self.statistics, self.health = node.statistics, node.health
            self._tallies = (node.statistics,)
        else:
            self.statistics, self.health = PipelineStatistics(), Health(lambda _: None)
            self._tallies = (self.statistics, node.statistics)
        self.look()

    def close(self) -> None:
        """Take no more images."""
        if self.subscription is not None:
            self.subscription.close()
            self.subscription = None

    def frame_in(self, count: int = 1) -> None:
        """So many frames arrived."""
        for tally in self._tallies:
            tally.frame_in(count)

    def dropped(self, cause: str, count: int = 1) -> None:
        """So many frames were not worked on."""
        for tally in self._tallies:
            tally.frame_dropped(cause, count)

    def failed(self, cause: str, text: str) -> None:
        """A frame could not be used: count it, say it, go on."""
        self.dropped(cause)
        if self.name:
            self.health.failed(cause, text)
        if self._node is not None:
            self._node.health.failed(f'{self.name} {cause}'.lstrip(), text)

    def left_out(self, error: FrameError) -> None:
        """A frame cannot be used, by what is in it."""
        self.failed(error.cause, f'image on {self.topic} left out: {error}')

    def served(self, stages_ms: Mapping[str, float], stamp_ns: int, age_s: float) -> None:
        """A frame's result was published."""
        self.newest_age_s = age_s
        for tally in self._tallies:
            tally.frame_out(stages_ms, stamp_ns)
        self.health.succeeded()
        if self._node is not None:
            self._node.newest_age_s = age_s
            self._node.health.succeeded()

    def look(self) -> None:
        """Take the figures as they are now: once for all that is said of them in one report."""
        self.snapshot = self.statistics.snapshot()

    def conditions(self, limits: Thresholds) -> list[Condition]:
        """What is to be said of it, apart from the node as a whole, with the latest `snapshot`."""
        if self.subscription is None:
            return []
        found = [
            *self.subscription.conditions(limits.stale_after_s),
            *limits.of_figures(
                self.snapshot,
                self._recent_drops.note(self.snapshot),
                self.subscription.stamps.age_s,
            ),
        ]
        failing = self.health.condition() if self.name else None
        return [failing, *found] if failing else found

    def values(self) -> dict[str, str]:
        """Its figures, for /diagnostics."""
        if self.subscription is None:
            return {}
        stamps, form = self.subscription.stamps, self.subscription.form
        counts = stamps.counts
        age = f'{stamps.age_s * 1e3:.1f} ms' if math.isfinite(stamps.age_s) else 'not known'
        values = {
            'images from': self.topic,
            'newest image': form.newest,
            'changes of size, encoding or frame': str(form.changes),
            'age of the newest image': age,
            'images with stamp zero': str(counts['zero']),
            'stamps going backwards': str(counts['backward']),
            'stamps repeated': str(counts['repeated']),
            'stamps in the future': str(counts['future']),
            'stamps of another clock': str(counts['other_clock']),
        }
        if not self.name:
            return values
        latest = self.health.latest
        return {**pipeline_values(self.snapshot, self.newest_age_s, latest), **values}
