"""Renders the training scenes once, on all processors, into arrays that can be mapped.

    python -m training.dataset --out FOLDER --scenes 18000 --moments 2

The folder then holds `images.npy` uint8 [N, 384, 640, 3] BGR, `semantic.npy` uint8
[N, 384, 640], `instances.npy` uint8 [N, 96, 160] (i + 1 where object i is, read at the middle of
each 4x4 block), `boxes.npy` float32 [N, OBJECTS, 4] in pixels and `classes.npy` int8
[N, OBJECTS], -1 where there is no object. About 1 MB an image. The same numbers of scenes give
the same arrays, on however many processors.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes import SceneFrame, Split, StreetScene, scene_seed

SIZE = (640, 384)
"""(width, height) of the images, which is that of the networks."""
OBJECTS = 64
"""Most objects kept of one image; those with the smallest boxes go first."""

PART = 25
"""Scenes that a process renders in one go."""

ARRAYS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    'images': ((SIZE[1], SIZE[0], 3), np.uint8),
    'semantic': ((SIZE[1], SIZE[0]), np.uint8),
    'instances': ((SIZE[1] // 4, SIZE[0] // 4), np.uint8),
    'boxes': ((OBJECTS, 4), np.float32),
    'classes': ((OBJECTS,), np.int8),
}


def render_dataset(folder: Path, split: Split, first: int, scenes: int, moments: int) -> None:
    """Fill `folder` with `scenes * moments` labelled images of a split.

    Args:
        folder: made if need be; arrays that are there already are overwritten.
        split: whose scenes.
        first: number of the first scene in the split.
        scenes: how many scenes.
        moments: images of each scene, at times that follow from its seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = scenes * moments
    for name, (shape, dtype) in ARRAYS.items():
        _open_array(folder, name, 'w+', dtype=dtype, shape=(count, *shape))
    jobs = [
        (folder, split, first + start, min(PART, scenes - start), moments, start * moments)
        for start in range(0, scenes, PART)
    ]
    began = time.monotonic()
    # Fresh processes: one that is forked beside OpenCV's threads may wait for them for ever.
    fresh = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(os.cpu_count(), fresh) as pool:
        for done, _ in enumerate(pool.map(_render_part, jobs), 1):
            if done % 100 == 0 or done == len(jobs):
                seconds = time.monotonic() - began
                images = min(done * PART, scenes) * moments
                print(f'{images} of {count} images, {seconds:.0f} s', flush=True)


def _render_part(job: tuple[Path, Split, int, int, int, int]) -> None:
    folder, split, first, scenes, moments, place = job
    cv2.setNumThreads(1)
    arrays = {name: _open_array(folder, name, 'r+') for name in ARRAYS}
    for number in range(first, first + scenes):
        seed = scene_seed(split, number)
        scene = StreetScene(seed, SIZE)
        for time_s in np.random.default_rng(seed).uniform(0, 60, moments):
            store(arrays, place, scene.render(float(time_s)))
            place += 1


def _open_array(folder: Path, name: str, mode: str, **layout: Any) -> NDArray[Any]:
    # numpy leaves this function without types.
    opened: NDArray[Any] = np.lib.format.open_memmap(folder / f'{name}.npy', mode, **layout)  # type: ignore[no-untyped-call]
    return opened


def store(arrays: dict[str, NDArray[Any]], place: int, frame: SceneFrame) -> None:
    """Put a frame of `SIZE` and its labels at index `place` of each of `ARRAYS`."""
    arrays['images'][place] = frame.image
    arrays['semantic'][place] = frame.semantic
    size = (frame.boxes[:, 2:] - frame.boxes[:, :2]).prod(1)
    kept = np.sort(np.argsort(-size, kind='stable')[:OBJECTS])
    number = np.zeros(len(size) + 1, np.uint8)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    arrays['instances'][place] = number[frame.instance_ids[2::4, 2::4]]
    arrays['boxes'][place] = 0
    arrays['boxes'][place, : len(kept)] = frame.boxes[kept]
    arrays['classes'][place] = -1
    arrays['classes'][place, : len(kept)] = frame.class_ids[kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--scenes', type=int, default=18000)
    parser.add_argument('--moments', type=int, default=2, help='images of each scene')
    parser.add_argument('--first', type=int, default=0, help='number of the first scene')
    arguments = parser.parse_args()
    render_dataset(
        arguments.out, Split.TRAINING, arguments.first, arguments.scenes, arguments.moments
    )


if __name__ == '__main__':
    main()
