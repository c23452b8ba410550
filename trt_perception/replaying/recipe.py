"""What is done to every image of a replay, and the parts that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2

from trt_perception.building.opening import open_built_pipeline
from trt_perception.errors import ParameterError
from trt_perception.frames import Frame
from trt_perception.pipeline.appearance import MOST_AT_ONCE, Appearance
from trt_perception.pipeline.perception import GpuUse, Perceived, PerceptionPipeline
from trt_perception.results import DecodeSettings
from trt_perception.sources.bag_writer import BagMessage
from trt_perception.tracking.settings import TrackerSettings


class ResultMessages(Protocol):
    """Makes of results the messages that a node would publish."""

    def latched(self, frame: Frame) -> Sequence[BagMessage]:
        """What a node publishes once, for late subscribers too; stamped as the frame."""

    def results(self, camera: str, perceived: Perceived, frame: Frame) -> Sequence[BagMessage]:
        """What a node publishes for one frame of a camera."""

    def clock(self, frame: Frame) -> BagMessage:
        """Simulated time: the frame's stamp."""


MakeMessages = Callable[[PerceptionPipeline, Sequence[str]], ResultMessages]
"""Gives the messages of a model for cameras of these names, '' for an only one.

It crosses from process to process by its name, so it must be a function of a module.
"""


@dataclass(frozen=True)
class Recipe:
    """What is done to every image.

    Attributes:
        model: name or path of the model.
        backend, precision, fallback: see `open_built_pipeline`.
        threads: CPU threads of one inference.
        settings: thresholds and class filter.
        tracking: how objects are followed.
        embedding_model: gives objects embeddings; '' for none.
        batch: images in one inference.
        make_messages: makes messages of the results.
        definitions: name and text of each message type that bags do not know by themselves.
        distro: ROS distribution that the bags name.
    """

    model: str
    backend: str
    precision: str
    fallback: str
    threads: int
    settings: DecodeSettings
    tracking: TrackerSettings
    embedding_model: str
    batch: int
    make_messages: MakeMessages
    definitions: tuple[tuple[str, str], ...]
    distro: str

    @property
    def follows(self) -> bool:
        """Whether what is found in an image depends on the images before it."""
        return self.tracking.kind != 'none'


@dataclass(frozen=True)
class Opened:
    """The networks of a recipe.

    Attributes:
        pipeline: looks at images.
        appearance: gives objects embeddings; None where the recipe names no model for it.
    """

    pipeline: PerceptionPipeline
    appearance: Appearance | None

    def close(self) -> None:
        """Free them."""
        self.pipeline.close()
        if self.appearance is not None:
            self.appearance.close()


_kept: list[tuple[Recipe, Opened]] = []


def opened(recipe: Recipe) -> Opened:
    """The networks of a recipe. A process that works on many parts opens them once.

    Raises:
        PerceptionError: see `open_built_pipeline`.
        ParameterError: the network does not take batches of that size.
    """
    if not _kept or _kept[0][0] != recipe:
        let_go()
        _kept.append((recipe, _open(recipe)))
    return _kept[0][1]


def let_go() -> None:
    """Close the networks that this process keeps open."""
    while _kept:
        _kept.pop()[1].close()


def _open(recipe: Recipe) -> Opened:
    cv2.setNumThreads(recipe.threads)  # else each of many processes takes all cores
    pipeline = open_built_pipeline(
        recipe.model,
        backend=recipe.backend,
        precision=recipe.precision,
        fallback=recipe.fallback,
        threads=recipe.threads,
        gpu_use=GpuUse(overlap=True),
        max_batch=recipe.batch,
    )
    try:
        _check_batch(pipeline, recipe.batch)
        pipeline.settings = recipe.settings
        pipeline.make_room(recipe.batch)
        return Opened(pipeline, _appearance(recipe))
    except BaseException:
        pipeline.close()
        raise


def _check_batch(pipeline: PerceptionPipeline, batch: int) -> None:
    """Raises ParameterError: each batch would fail first, and its images be done one by one."""
    most = pipeline.max_batch
    if most is not None and most < batch:
        raise ParameterError(
            f'--batch {batch}: {pipeline.spec.name} takes {most} image(s) at once on '
            f'{pipeline.runtime.backend}. Give --batch {most}, or export it with an open batch axis'
        )


def _appearance(recipe: Recipe) -> Appearance | None:
    if not recipe.embedding_model:
        return None
    return Appearance(
        open_built_pipeline(
            recipe.embedding_model,
            backend=recipe.backend,
            threads=recipe.threads,
            max_batch=MOST_AT_ONCE,
        )
    )
