"""What each object of an image looks like, by a second network that embeds pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelSpecError
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.face_alignment import REFERENCE, aligned_face
from trt_perception.results import Detections, Embedding

MOST_AT_ONCE = 8
"""Objects in one inference at most."""


class Appearance:
    """Gives objects embeddings. Used by one thread at a time."""

    def __init__(self, pipeline: PerceptionPipeline) -> None:
        """Take the network.

        Args:
            pipeline: of a model for the task embed; closed by `close`.

        Raises:
            ModelSpecError: the model is for another task.
        """
        check_embeds(pipeline.spec)
        self._pipeline = pipeline
        self._batch = min(pipeline.runtime.max_batch or MOST_AT_ONCE, MOST_AT_ONCE)
        width, height = pipeline.spec.input.size
        [self._grey] = self._vectors([np.full((height, width, 3), 114, np.uint8)])

    def describe(self, perceived: Perceived) -> Perceived:
        """The same with an embedding for each object, where objects were found.

        Faces with their five landmarks are turned upright first, as ArcFace wants them; of other
        objects the network sees what is in their box.

        Raises:
            InferenceError: the network failed.
        """
        found = perceived.result
        if not isinstance(found, Detections):
            return perceived
        watch = Stopwatch()
        vectors = list(self._vectors(pictures_of(found, perceived.image))) if len(found) else []
        embeddings = np.array(vectors, np.float32).reshape(len(vectors), len(self._grey))
        watch.lap('embed')
        return replace(
            perceived,
            result=replace(found, embeddings=embeddings),
            stages_ms={**perceived.stages_ms, **watch.laps_ms},
        )

    def close(self) -> None:
        """Free the network."""
        self._pipeline.close()

    def _vectors(self, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(pictures), self._batch):
            part = pictures[start : start + self._batch]
            for seen in self._pipeline.process([Frame.from_bgr(picture) for picture in part]):
                assert isinstance(seen.result, Embedding)
                yield seen.result.vector


def check_embeds(spec: ModelSpec) -> None:
    """Refuse a model that gives no embeddings.

    Raises:
        ModelSpecError: it is for another task.
    """
    if spec.task != 'embed':
        raise ModelSpecError(
            f'embedding model {spec.name} is for the task {spec.task}; a model for the task '
            'embed is needed, such as one of the family arcface'
        )


def pictures_of(found: Detections, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """What shows each object: uint8 [h, w, 3], at least one pixel.

    Args:
        found: the objects.
        image: uint8 [H, W, 3], in which they are.
    """
    points = found.key_points
    if points is not None and points.shape[1] == len(REFERENCE):
        return [_face(image, box, face) for box, face in zip(found.boxes, points, strict=True)]
    return [_cut(image, box) for box in found.boxes]


def _face(
    image: NDArray[np.uint8], box: NDArray[np.float32], points: NDArray[np.float32]
) -> NDArray[np.uint8]:
    try:
        return aligned_face(image, points)
    except ValueError:  # landmarks that show no face
        return _cut(image, box)


def _cut(image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    x1, y1 = np.floor(box[:2]).astype(int).clip(0, (width - 1, height - 1))
    x2, y2 = np.ceil(box[2:]).astype(int)
    part = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return np.ascontiguousarray(part)
