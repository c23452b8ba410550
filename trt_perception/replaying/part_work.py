"""Looks at the images of one part of a bag and writes the results as a small bag."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from trt_perception.errors import FrameError, OutputError
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.replaying.parts_folder import (
    finish,
    out_of,
    part_path,
    told_of,
    unfinished_path,
    write_run,
)
from trt_perception.replaying.plan import Camera, Part
from trt_perception.replaying.recipe import Opened, Recipe, ResultMessages, opened
from trt_perception.sources.bag_images import BagImage, ImageBag
from trt_perception.sources.bag_writer import BagMessage, BagWriter

Tell = Callable[[int], object]
"""Told of so many images more that are done."""

TRACKS = 'tracks.npz'
"""What is known of the objects at the end of a part, where they are followed."""


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
            OutputError: the disk is full, or the part before is damaged.
            InferenceError, ModelOutputError: the network failed.
        """
        with told_of(out_of(self.folder)):
            self._run(tell)

    def _run(self, tell: Tell) -> None:
        networks = opened(self.recipe)
        names = [camera.name for camera in self.cameras]
        messages = self.recipe.make_messages(networks.pipeline, names)
        tracked = self._tracked(networks)
        written = unfinished_path(self.folder)
        try:
            with (
                ImageBag(self.bag) as bag,
                BagWriter(written, self.recipe.distro) as writer,
            ):
                writer.add_type_definitions(dict(self.recipe.definitions))
                skipped: Counter[str] = Counter()
                frames = 0
                readable = self._readable(bag, networks.pipeline, skipped, tell)
                in_part = _Written(writer, messages)
                for image, frame, perceived in looked_at(
                    networks.pipeline, readable, self.recipe.batch
                ):
                    self._one_image(image, frame, perceived, tracked, in_part)
                    frames += 1
                    tell(1)
            self._leave(tracked, written)
            write_run(written, {'frames': frames, 'skipped': dict(skipped)})
            finish(written, part_path(self.folder, self.part.index))
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)
            raise

    def _readable(
        self, bag: ImageBag, pipeline: PerceptionPipeline, skipped: Counter[str], tell: Tell
    ) -> Iterator[tuple[BagImage, Frame]]:
        """The images that can be used; the others are counted by cause."""
        topics = [camera.topic for camera in self.cameras]
        for image in bag.images(topics, self.part.start_ns, self.part.end_ns):
            frame = bag.frame(image)
            cause = 'unreadable'
            if frame is not None:
                try:
                    frame, cause = pipeline.usable(frame), ''
                except FrameError as error:
                    cause = error.cause
            if frame is None or cause:
                skipped[cause] += 1
                tell(1)
            else:
                yield image, frame

    def _one_image(
        self,
        image: BagImage,
        frame: Frame,
        perceived: Perceived,
        tracked: TrackedCameras,
        written: _Written,
    ) -> None:
        camera = next(one.name for one in self.cameras if one.topic == image.topic)
        messages = written.messages
        if not written.announced:
            written.announced = True
            written.add(messages.latched(frame), image.time_ns, latched=True)
        written.add([messages.clock(frame)], image.time_ns)
        perceived = tracked.follow(perceived, frame.stamp_ns or image.time_ns, camera)
        written.add(messages.results(camera, perceived, frame), image.time_ns)

    # Objects that are followed from one part into the next

    def _tracked(self, networks: Opened) -> TrackedCameras:
        """What is known of the objects at the end of the part before.

        Raises:
            OutputError: that part is damaged.
        """
        tracked = TrackedCameras(self.recipe.tracking, networks.appearance)
        if self.recipe.follows and self.part.index:
            before = part_path(self.folder, self.part.index - 1)
            try:
                tracked.load(before / TRACKS)
            except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
                raise OutputError(
                    f'{before}: this part is damaged: {error}. Remove it and run the same command '
                    'again'
                ) from error
        return tracked

    def _leave(self, tracked: TrackedCameras, written: Path) -> None:
        """Leave what is known of the objects to the part that comes next."""
        if self.recipe.follows:
            try:
                tracked.save(written / TRACKS)
            except OSError as error:
                raise OutputError(f'{written / TRACKS}: cannot be written: {error}') from error


def looked_at(
    pipeline: PerceptionPipeline, images: Iterable[tuple[BagImage, Frame]], batch: int
) -> Iterator[tuple[BagImage, Frame, Perceived]]:
    """Images with what is found in them, in their order; a GPU works on two batches at a time.

    Args:
        pipeline: the model.
        images: with their frames, which can be used.
        batch: images in one inference.

    Raises:
        InferenceError, ModelOutputError: the network failed.
    """
    under_way: deque[tuple[BagImage, Frame]] = deque()

    def frames() -> Iterator[list[Frame]]:
        waiting = iter(images)
        while some := list(itertools.islice(waiting, batch)):
            under_way.extend(some)
            yield [frame for _, frame in some]

    for found in pipeline.process_all(frames()):
        for perceived in found:
            yield (*under_way.popleft(), perceived)


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
