"""Divides a bag into parts that can be worked on at the same time, and again after a fault.

A part is a stretch of the bag's recording time. Where it begins depends on the bag only, never on
how many processes work, so that a run with other processes finds the same parts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trt_perception.errors import OutputError, SourceError
from trt_perception.sources.bag import SUFFIXES
from trt_perception.sources.bag_images import ImageBag

IMAGES_IN_PART = 100
"""As many as an interrupted run may lose for each process. More would be a little faster."""

_IMAGE_WORDS = re.compile(r'image.*|compressed|color|rgb')


@dataclass(frozen=True)
class Part:
    """A stretch of a bag.

    Attributes:
        index: counts from 0.
        start_ns, end_ns: recording time of its messages; `end_ns` belongs to the next part.
    """

    index: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Camera:
    """An image topic, and the name under which its results come; '' for the only one."""

    topic: str
    name: str


@dataclass(frozen=True)
class BagPlan:
    """What is to be done with one bag.

    Attributes:
        bag: absolute path of the bag, or of one of its files.
        out: absolute path of the bag to write.
        cameras: its image topics.
        images: image messages, as the bag announces them.
        seconds: from its first message to its last.
        identity: says whether two bags are the same without reading all of them.
        parts: in the order of time.
    """

    bag: Path
    out: Path
    cameras: tuple[Camera, ...]
    images: int
    seconds: float
    identity: str
    parts: tuple[Part, ...]


def plan_bag(bag: Path, out: Path, topics: Sequence[str]) -> BagPlan:
    """Look at a bag and divide it.

    Args:
        bag: the bag's folder, or one of its files.
        out: the bag to write.
        topics: image topics; none takes the only one that the bag has.

    Raises:
        SourceError: no bag, an unfinished one, no such topic, several to choose from, no image.
        MissingDependencyError: the library rosbags is not installed.
    """
    bag = bag.expanduser().absolute()
    with ImageBag(bag) as opened:
        wanted: Sequence[str | None] = topics or [None]
        chosen = list(dict.fromkeys(opened.choose(topic) for topic in wanted))
        images = opened.count(chosen)
        start_ns, end_ns = opened.start_ns, opened.end_ns
        messages = opened.message_count
    if not images:
        raise SourceError(f'{bag}: {", ".join(chosen)} has no message in this bag')
    return BagPlan(
        bag,
        out,
        cameras_of(chosen),
        images,
        (end_ns - start_ns) / 1e9,
        f'{start_ns}-{end_ns}, {messages} messages, {_bytes(bag)} bytes',
        parts_of(start_ns, end_ns, images),
    )


def parts_of(start_ns: int, end_ns: int, images: int) -> tuple[Part, ...]:
    """Stretches of equal length, with about `IMAGES_IN_PART` images each where they come evenly.

    Args:
        start_ns, end_ns: of the bag.
        images: in the bag.
    """
    span = max(1, end_ns - start_ns)
    count = min(max(1, -(-images // IMAGES_IN_PART)), span)
    bounds = [start_ns + span * index // count for index in range(count + 1)]
    return tuple(Part(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(bounds)))


def cameras_of(topics: Sequence[str]) -> tuple[Camera, ...]:
    """Names for image topics: '/front/image_raw' is 'front'; '' where there is one topic only.

    Where two cameras would have the same name, both have all words of their topic.
    """
    if len(topics) == 1:
        return (Camera(topics[0], ''),)
    full = {topic: topic.strip('/').replace('/', '_') for topic in topics}
    short = {topic: _short(topic) for topic in topics}
    clear = len(set(short.values())) == len(topics) and all(short.values())
    return tuple(Camera(topic, (short if clear else full)[topic]) for topic in topics)


def outputs_of(bags: Sequence[Path], out: Path) -> list[Path]:
    """The bag to write for each bag.

    For one bag it is `out` itself, unless that is a folder and no bag; for several, `out` is the
    folder that holds them. A name that comes again gets a number.

    Raises:
        OutputError: `out` is a file or named like one, for several bags a bag, or lies in a bag.
    """
    out = out.expanduser().absolute()
    is_bag = (out / 'metadata.yaml').exists()
    if out.exists() and not out.is_dir():
        raise OutputError(f'{out}: is a file. Name a folder that may be made')
    if out.suffix in SUFFIXES and not out.exists():
        raise OutputError(f'{out}: a bag is written as a folder. Name it {out.stem}')
    for folder in (out, *out.parents):
        if folder != out and (folder / 'metadata.yaml').exists():
            raise OutputError(f'{out}: {folder} is a bag. Name a folder beside it')
    if len(bags) == 1 and (is_bag or not out.exists()):
        return [out]
    if is_bag:
        raise OutputError(f'{out}: is a bag, but {len(bags)} bags need a folder of their own')
    names: list[str] = []
    for bag in bags:
        whole = bag.expanduser().absolute()
        name = stem = whole.stem if whole.suffix in SUFFIXES else whole.name
        number = 1
        while name in names:
            number += 1
            name = f'{stem}_{number}'
        names.append(name)
    return [out / name for name in names]


def _short(topic: str) -> str:
    words = [word for word in topic.split('/') if word and not _IMAGE_WORDS.fullmatch(word)]
    name = '_'.join(words)
    return f'camera_{name}' if name[:1].isdigit() else name


def _bytes(bag: Path) -> int:
    files = [file for file in bag.iterdir() if file.is_file()] if bag.is_dir() else [bag]
    return sum(file.stat().st_size for file in files)
