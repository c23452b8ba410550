"""ArcFace and other networks that return one embedding [B, D] of a whole image.

"ArcFace: Additive Angular Margin Loss for Deep Face Recognition", Deng et al. 2019. Faces must be
aligned first: `preprocessing.face_alignment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.vector_output import choose_vector, vectors_of
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Embedding, Result
from trt_perception.tensor_spec import TensorSpec


class ArcfaceOptions(FamilyOptions, frozen=True):
    """There are none."""


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> ArcfaceDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return ArcfaceDecoder(spec, outputs)


class ArcfaceDecoder:
    """Brings each embedding to length 1.

    One that is zero or not finite, as of an image without any content, becomes zeros: its cosine
    with every other is 0.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the output. See `configure`."""
        options_of(spec, ArcfaceOptions)
        self._output = choose_vector('arcface', outputs, 'an embedding [batch, numbers]')
        if spec.output_operators.get(self._output.name) in ('Softmax', 'Sigmoid'):
            raise ModelOutputError(
                f'{self._output.name} holds probabilities: this is a classification model. State '
                '`family: classify`, or take the network that ends in the embedding'
            )
        if self._output.shape[1] == 1:
            raise ModelOutputError(
                f'{self._output.name} is {list(self._output.shape)}: one number is no embedding. '
                'Check `family` and `onnx` in the YAML'
            )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`. The settings have no part in it."""
        vectors = vectors_of(outputs, self._output, len(letterboxes))
        return [
            Embedding(_unit(vector), letterbox.source)
            for vector, letterbox in zip(vectors, letterboxes, strict=False)
        ]


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector with length 1; zeros if it has no direction."""
    exact = vector.astype(np.float64)
    with np.errstate(invalid='ignore', over='ignore'):
        length = np.sqrt(np.square(exact).sum())
    if not np.isfinite(length) or length == 0:
        return np.zeros(len(vector), np.float32)
    return np.asarray(exact / length, np.float32)
