"""What is done to every image of a replay, and the parts that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2

from trt_perception.building.opening import open_built_pipeline
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.results import DecodeSettings
from trt_perception.sources.bag_writer import BagMessage


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
    make_messages: MakeMessages
    definitions: tuple[tuple[str, str], ...]
    distro: str


_kept: list[tuple[Recipe, PerceptionPipeline]] = []


def opened(recipe: Recipe) -> PerceptionPipeline:
    """The pipeline of a recipe. A process that works on many parts opens it once.

    Raises:
        PerceptionError: see `open_built_pipeline`.
    """
    if not _kept or _kept[0][0] != recipe:
        let_go()
        _kept.append((recipe, _open(recipe)))
    return _kept[0][1]


def let_go() -> None:
    """Close the pipeline that this process keeps open."""
    while _kept:
        _kept.pop()[1].close()


def _open(recipe: Recipe) -> PerceptionPipeline:
    cv2.setNumThreads(recipe.threads)  # else each of many processes takes all cores
    pipeline = open_built_pipeline(
        recipe.model,
        backend=recipe.backend,
        precision=recipe.precision,
        fallback=recipe.fallback,
        threads=recipe.threads,
    )
    pipeline.settings = recipe.settings
    return pipeline
