"""Looks at the images of one part of a bag and writes the results as a small bag."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trt_perception.errors import FrameError
from trt_perception.replaying.parts_folder import (
    finish,
    part_path,
    unfinished_path,
    write_run,
)
from trt_perception.replaying.plan import Camera, Part
from trt_perception.replaying.recipe import Recipe, ResultMessages, opened
from trt_perception.sources.bag_images import BagImage, ImageBag
from trt_perception.sources.bag_writer import BagMessage, BagWriter

Tell = Callable[[int], object]
"""Told of so many images more that are done."""


@dataclass(frozen=True)
class PartWork:
    """One part to do, in any process of any machine that sees the same files.

    Attributes:
        recipe: what is done.
        bag: absolute path of the bag.
        cameras: its image topics.
        part: which stretch of it.
        folder: where the finished part goes.
    """

    recipe: Recipe
    bag: Path
    cameras: tuple[Camera, ...]
    part: Part
    folder: Path

    def run(self, tell: Tell) -> None:
        """Do it; if it is interrupted anywhere, the part is not there.

        Raises:
            SourceError: the bag can no longer be opened.
            OutputError: the disk is full.
            InferenceError, ModelOutputError: the network failed.
        """
        pipeline = opened(self.recipe)
        messages = self.recipe.make_messages(pipeline, [camera.name for camera in self.cameras])
        written = unfinished_path(self.folder)
        try:
            with (
                ImageBag(self.bag) as bag,
                BagWriter(written, self.recipe.distro) as writer,
            ):
                writer.add_type_definitions(dict(self.recipe.definitions))
                frames, skipped = self._all_images(bag, _Written(writer, messages), tell)
            write_run(written, {'frames': frames, 'skipped': dict(skipped)})
            finish(written, part_path(self.folder, self.part.index))
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)
            raise

    def _all_images(self, bag: ImageBag, written: _Written, tell: Tell) -> tuple[int, Counter[str]]:
        """Returns how many frames were used, and how many were not by cause."""
        names = {camera.topic: camera.name for camera in self.cameras}
        frames = 0
        skipped: Counter[str] = Counter()
        for image in bag.images(list(names), self.part.start_ns, self.part.end_ns):
            cause = self._one_image(bag, image, names[image.topic], written)
            if cause:
                skipped[cause] += 1
            else:
                frames += 1
            tell(1)
        return frames, skipped

    def _one_image(self, bag: ImageBag, image: BagImage, camera: str, written: _Written) -> str:
        """Returns why the image could not be used, '' if it could."""
        frame = bag.frame(image)
        if frame is None:
            return 'unreadable'
        try:
            (perceived,) = opened(self.recipe).process([frame])
        except FrameError as error:
            return error.cause
        messages = written.messages
        if not written.announced:
            written.announced = True
            written.add(messages.latched(frame), image.time_ns, latched=True)
        written.add([messages.clock(frame)], image.time_ns)
        written.add(messages.results(camera, perceived, frame), image.time_ns)
        return ''


class _Written:
    """The bag of one part."""

    def __init__(self, writer: BagWriter, messages: ResultMessages) -> None:
        self.messages = messages
        self.announced = False
        self._writer = writer

    def add(self, messages: Sequence[BagMessage], time_ns: int, *, latched: bool = False) -> None:
        for message in messages:
            self._writer.add_topic(message.topic, message.type_name, latched=latched)
            self._writer.write(message.topic, message.type_name, message.cdr, time_ns)
