"""What every family's decoder offers to the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result


class Decoder(Protocol):
    """Turns the raw outputs of one network into results. Has no state between calls."""

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch.

        Args:
            outputs: the network's outputs by name; the first axis is the batch.
            letterboxes: how each image of the batch was placed in the network's input.
            settings: thresholds and class filter.

        Returns:
            One result per letterbox, in source pixels. NaN and infinite values never
            reach a result.

        Raises:
            ModelOutputError: an output has not the shape it was configured for.
        """
        ...
