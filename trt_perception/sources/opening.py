"""From what a user writes to a source of images."""

from __future__ import annotations

from pathlib import Path

from trt_perception.errors import SourceError
from trt_perception.preprocessing.colour import MAX_PIXELS
from trt_perception.sources import bag, image_files, video
from trt_perception.sources.bag import BagSource
from trt_perception.sources.camera import CameraSource
from trt_perception.sources.conversion import ConvertedSource
from trt_perception.sources.image_files import FolderSource, ImageSource
from trt_perception.sources.looping import LoopedSource
from trt_perception.sources.source import Source
from trt_perception.sources.synthetic import DEFAULT_SEED, SyntheticSource
from trt_perception.sources.video import VideoSource

ACCEPTED = (
    'synthetic, synthetic:SEED, synthetic:SPLIT, an image, a folder of images, a video, '
    'a camera such as /dev/video0 or 0, or a ROS 2 bag'
)


def open_source(
    text: str,
    *,
    size: tuple[int, int] | None = None,
    rate: float | None = None,
    loop: bool = False,
    frame_id: str = 'camera',
    encoding: str | None = None,
    topic: str | None = None,
    seed: int = DEFAULT_SEED,
) -> Source:
    """Open what `text` names.

    Args:
        text: see `ACCEPTED`. A folder with a bag in it is a bag.
        size: (width, height) to deliver; None keeps the source's own. The synthetic street is
            rendered at it and a camera asked for it; all others are resized.
        rate: frames per second that a camera is asked for, or that pass in the synthetic
            street's time; for the others it only becomes `Source.rate`. Nothing here waits: who
            wants frames at a pace keeps it.
        loop: begin again at the end. Has no meaning for a camera or a moving street.
        frame_id: of the frames; a bag keeps its own.
        encoding: one of `encode.ENCODINGS`; None leaves a bag's frames as recorded and delivers
            all others as bgr8.
        topic: of a bag with more than one image topic.
        seed: of the street when `text` is 'synthetic' alone.

    Raises:
        SourceError: there is no such thing, or it cannot be read; or `size` or `rate` is not
            positive, or `size` has more than `MAX_PIXELS` pixels.
        ParameterError: the encoding is unknown or does not fit the size.
        MissingDependencyError: a library for it is not installed.
    """
    if size is not None and min(size) < 1:
        raise SourceError(f'size {size[0]}x{size[1]}: width and height must be at least 1')
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise SourceError(f'size {size[0]}x{size[1]}: at most {MAX_PIXELS} pixels are allowed')
    if rate is not None and not 0 < rate < float('inf'):
        raise SourceError(f'rate {rate}: must be above 0 frames per second')
    try:
        source = _open(text.strip(), size, rate, frame_id, topic, seed)
    except OSError as error:  # a name that is too long, a folder that may not be listed
        raise SourceError(f'{text[:200]}: cannot be opened: {error.strerror}') from error
    if rate is not None:
        source.rate = rate
    try:
        if encoding is not None or (size is not None and source.size != size):
            source = _converted(source, size, encoding)
    except BaseException:
        source.close()
        raise
    return LoopedSource(source) if loop else source


def _converted(source: Source, size: tuple[int, int] | None, encoding: str | None) -> Source:
    if isinstance(source, CameraSource):
        # The camera was asked for the size already and may have chosen another.
        size = None
        if encoding is None:
            return source
    return ConvertedSource(source, size=size, encoding=encoding or 'bgr8')


def _open(
    text: str,
    size: tuple[int, int] | None,
    rate: float | None,
    frame_id: str,
    topic: str | None,
    seed: int,
) -> Source:
    if not text:
        raise SourceError(f'the source is empty. Name one of: {ACCEPTED}')
    kind, _, rest = text.partition(':')
    if kind == 'synthetic':
        return SyntheticSource(rest, size=size, rate=rate, frame_id=frame_id, seed=seed)
    if text.isdecimal() or text.startswith('/dev/'):
        return CameraSource(text, size=size, rate=rate, frame_id=frame_id)
    path = Path(text).expanduser()
    if path.is_dir():
        return BagSource(path, topic) if is_bag(path) else FolderSource(path, frame_id)
    if not path.exists():
        raise SourceError(f'{text}: no such file or folder. A source is {ACCEPTED}')
    suffix = path.suffix.lower()
    if suffix in bag.SUFFIXES:
        return BagSource(path, topic)
    if suffix in image_files.SUFFIXES:
        return ImageSource(path, frame_id)
    if suffix in video.SUFFIXES:
        return VideoSource(path, frame_id)
    raise SourceError(
        f'{text}: what kind of file is this? Known endings are those of images '
        f'({" ".join(sorted(image_files.SUFFIXES))}), of videos '
        f'({" ".join(sorted(video.SUFFIXES))}) and of bags ({" ".join(sorted(bag.SUFFIXES))})'
    )


def is_bag(folder: Path) -> bool:
    """Whether a folder is a ROS 2 bag: it holds metadata.yaml or a storage file."""
    if (folder / 'metadata.yaml').is_file():
        return True
    return any(file.suffix in bag.SUFFIXES for file in folder.iterdir())
