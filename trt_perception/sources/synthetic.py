"""Frames of the street that the package renders itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trt_perception.errors import SourceError
from trt_perception.frames import Frame
from trt_perception.scenes.seeds import Split, scene_seed
from trt_perception.sources.source import Source

if TYPE_CHECKING:
    from trt_perception.scenes import StreetScene

DEFAULT_SIZE = (640, 384)
DEFAULT_RATE = 10.0
DEFAULT_SEED = scene_seed(Split.DEMO, 0)


class SyntheticSource(Source):
    """A rendered street: one scene that moves, or one still frame of each scene of a split.

    Neither ends by itself. The stamps of a moving scene are the time in it, `1 / rate` seconds
    apart; stills have none. Every pass shows the same frames.
    """

    def __init__(
        self,
        what: str = '',
        *,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        frame_id: str = '',
        seed: int = DEFAULT_SEED,
    ) -> None:
        """Choose the scene.

        Args:
            what: a seed as text: that scene, moving; the name of a split such as 'test': its
                scenes from the first on, one frame each; '': the scene of `seed`, moving.
            size: (width, height) of the frames.
            rate: frames per second of scene time.
            frame_id: of the frames.
            seed: see `what`.

        Raises:
            SourceError: `what` is neither a seed nor a split.
        """
        super().__init__(f'synthetic:{what}' if what else 'synthetic')
        self.size = size or DEFAULT_SIZE
        self.endless = True
        self._frame_id = frame_id
        self._closed = False
        self._split: Split | None = None
        self._seed = seed
        if what.isdecimal():
            self._seed = int(what)
        elif what:
            self._split = _split_named(what)
            return
        self.rate = rate or DEFAULT_RATE
        self.stamps = 'since_start'
        self.continuous = True

    def __iter__(self) -> Iterator[Frame]:
        scene = None if self._split else self._scene(self._seed)
        rate = self.rate or DEFAULT_RATE
        index = 0
        while not self._closed:
            time_s = index / rate if scene else 0.0
            frame = (scene or self._still(index)).render(time_s)
            self.label = f'{index:06d}'
            yield Frame.from_bgr(frame.image, stamp_ns=round(time_s * 1e9), frame_id=self._frame_id)
            index += 1

    def close(self) -> None:
        """End a running iteration."""
        self._closed = True

    def _still(self, index: int) -> StreetScene:
        assert self._split is not None
        return self._scene(scene_seed(self._split, index))

    def _scene(self, seed: int) -> StreetScene:
        # Imported late: the renderer is large, and most sources do without it.
        from trt_perception.scenes import StreetScene

        try:
            return StreetScene(seed, size=self.size or DEFAULT_SIZE)
        except ValueError as error:
            raise SourceError(f'{self.name}: {error}') from error


def _split_named(name: str) -> Split:
    splits = {split.name.lower(): split for split in Split}
    if name not in splits:
        raise SourceError(
            f'synthetic:{name}: after the colon comes a seed (a whole number) or one of: '
            f'{", ".join(splits)}'
        )
    return splits[name]
