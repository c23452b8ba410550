"""Puts the finished parts of a bag together: one bag, in the order of time."""

from __future__ import annotations

import heapq
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trt_perception.errors import OutputError
from trt_perception.replaying.part_work import Tell
from trt_perception.replaying.parts_folder import (
    finish,
    part_path,
    read_run,
    told_of,
    unfinished_path,
    write_run,
)
from trt_perception.replaying.plan import BagPlan
from trt_perception.replaying.recipe import Recipe
from trt_perception.sources.bag_images import ImageBag, open_reader
from trt_perception.sources.bag_writer import BagWriter

CLOCK = '/clock'
"""Topic of the simulated time."""

_CLOCK_CDR = struct.Struct('<4xiI')


class _Timed(NamedTuple):
    """A message of a part or of the original bag."""

    time_ns: int
    topic: str
    type_name: str
    cdr: bytes
    latched: bool


@dataclass(frozen=True)
class AssemblyWork:
    """One bag to put together, in any process that sees the same files.

    Attributes:
        recipe: what the parts were made with.
        plan: the bag, with all parts finished.
        folder: where the parts lie.
        with_images: copy the camera's images as well.
        made_with: is noted in the bag.
    """

    recipe: Recipe
    plan: BagPlan
    folder: Path
    with_images: bool
    made_with: tuple[tuple[str, Any], ...]

    def run(self, tell: Tell) -> None:
        """Do it; if it is interrupted anywhere, the bag is not there.

        Raises:
            SourceError: the original bag can no longer be opened.
            OutputError: the disk is full, or a part is damaged.
        """
        with told_of(self.plan.out):
            self._run()

    def _run(self) -> None:
        workplace = unfinished_path(self.folder)
        written = workplace / self.plan.out.name  # after which the file in it is named
        try:
            workplace.mkdir()
            with ImageBag(self.plan.bag) as bag, BagWriter(written, self.recipe.distro) as writer:
                writer.add_type_definitions(dict(self.recipe.definitions))
                for message in _once(self._messages(bag)):
                    writer.add_topic(message.topic, message.type_name, latched=message.latched)
                    writer.write(message.topic, message.type_name, message.cdr, message.time_ns)
            write_run(written, {**dict(self.made_with), **self._counts()})
            finish(written, self.plan.out)
        except OSError as error:
            raise OutputError(f'{self.plan.out}: cannot be written: {error}') from error
        finally:
            shutil.rmtree(workplace, ignore_errors=True)

    def _messages(self, bag: ImageBag) -> Iterator[_Timed]:
        """All messages in the order of time; an image before what was found in it."""
        topics = [camera.topic for camera in self.plan.cameras] if self.with_images else []
        for part in self.plan.parts:
            images = (
                _Timed(image.time_ns, image.topic, image.type_name, image.cdr, False)
                for image in bag.images(topics, part.start_ns, part.end_ns)
            )
            results = _of_part(part_path(self.folder, part.index))
            yield from heapq.merge(images, results, key=lambda message: message.time_ns)

    def _counts(self) -> dict[str, Any]:
        """Frames that were used, and the others by cause."""
        frames, skipped = tally(self.folder, self.plan)
        missing = self.plan.images - frames - sum(skipped.values())
        if missing > 0:
            skipped['missing'] = missing
        return {'frames': frames, 'skipped': dict(skipped)}


def tally(folder: Path, plan: BagPlan) -> tuple[int, Counter[str]]:
    """Frames that were used in the finished parts of a bag, and the others by cause."""
    frames = 0
    skipped: Counter[str] = Counter()
    for part in plan.parts:
        counts = read_run(part_path(folder, part.index)) or {}
        frames += counts.get('frames', 0)
        skipped.update(counts.get('skipped', {}))
    return frames, skipped


def _of_part(path: Path) -> Iterator[_Timed]:
    """The messages of a finished part.

    Raises:
        OutputError: it is damaged.
    """
    try:
        with closing(open_reader(path)) as reader:
            for connection, time_ns, raw in reader.messages():
                yield _Timed(
                    time_ns, connection.topic, connection.msgtype, raw, _is_latched(connection)
                )
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise OutputError(
            f'{path}: this part is damaged: {error}. Remove it and run the same command again'
        ) from error


def _once(messages: Iterator[_Timed]) -> Iterator[_Timed]:
    """Without what every part repeats: latched messages, and times that have passed."""
    latched: set[str] = set()
    newest = (-1, 0)
    for message in messages:
        if message.latched:
            if message.topic in latched:
                continue
            latched.add(message.topic)
        elif message.topic == CLOCK:
            now = _CLOCK_CDR.unpack_from(message.cdr)
            if now <= newest:
                continue
            newest = now
        yield message


def _is_latched(connection: Any) -> bool:
    from rosbags.interfaces import QosDurability

    profiles = connection.ext.offered_qos_profiles
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)
