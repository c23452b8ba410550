"""How a frame becomes a network's input, as a model's files say it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from trt_perception.errors import ModelFileError, ModelSpecError
from trt_perception.exporter_metadata import input_of, size_of
from trt_perception.families import FAMILY_INPUTS, OPEN_INPUT
from trt_perception.onnx_file import OnnxFile


class FromYaml(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything that may stand in a model's YAML file."""


class InputSpec(FromYaml, frozen=True):
    """How a frame becomes the network's input: tensor = (pixel - mean) * scale.

    Attributes:
        size: (width, height) in pixels.
        color_order: the order of the three channels.
        mean, scale: one per channel, in `color_order`; pixels count 0 to 255. Unless stated,
            0 and 1/255; 0 and 1 for a network that takes uint8.
        resize: 'letterbox' keeps the aspect ratio and pads; 'stretch' does not; 'centre_crop'
            keeps it and cuts what is left over, as classification models want it.
        shorter_side: pixels of the image's shorter side before a centre crop, at least the
            longer side of `size`; None is that side divided by 0.875, such as 256 for 224.
        pad: where the padding of a letterbox goes: 'centre' shares it between both sides,
            'bottom_right' keeps the image in the upper left corner.
        pad_value: grey level of the padding, 0 to 255.
    """

    size: tuple[int, int]
    color_order: Literal['rgb', 'bgr'] = 'rgb'
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1 / 255, 1 / 255, 1 / 255)
    resize: Literal['letterbox', 'stretch', 'centre_crop'] = 'letterbox'
    shorter_side: int | None = None
    pad: Literal['centre', 'bottom_right'] = 'centre'
    pad_value: int = 114


class WrittenInput(FromYaml, frozen=True):
    """`InputSpec` as written by a user: everything optional, numbers may stand for triples."""

    size: tuple[int, int] | None = None
    color_order: Literal['rgb', 'bgr'] | None = None
    mean: float | tuple[float, float, float] | None = None
    scale: float | tuple[float, float, float] | None = None
    resize: Literal['letterbox', 'stretch', 'centre_crop'] | None = None
    shorter_side: int | None = None
    pad: Literal['centre', 'bottom_right'] | None = None
    pad_value: int = 114


def complete_input(
    path: Path, written: WrittenInput, onnx: OnnxFile, family: str, *, family_stated: bool
) -> InputSpec:
    """The input as its user wrote it, then as the ONNX file says, then as is usual.

    Args:
        path: of the model's file, for errors.
        written: what stands in it.
        onnx: what the network says.
        family: of the model.
        family_stated: whether somebody stated the family, and so its usual normalisation.

    Raises:
        ModelFileError: the network takes images of another layout.
        ModelSpecError: a value is wrong, or nobody says what cannot be guessed.
    """
    metadata = onnx.metadata
    size = _complete_size(path, written, onnx)
    exporters = input_of(metadata, size)
    usual = {**FAMILY_INPUTS.get(family, {}), **exporters}
    takes_pixels = onnx.inputs[0].dtype == np.uint8
    if takes_pixels:
        usual |= {'mean': 0.0, 'scale': 1.0}
    if not (family_stated or exporters or takes_pixels):
        _refuse_unstated_normalisation(path, written, metadata, family)
    resize = written.resize or metadata.get('resize', usual.get('resize', 'letterbox'))
    try:
        mean = _triple(written.mean, metadata.get('mean'), usual.get('mean', 0.0))
        scale = _triple(written.scale, metadata.get('scale'), usual.get('scale', 1 / 255))
        if takes_pixels and (any(mean) or any(value != 1 for value in scale)):
            raise ValueError(
                f'the network takes uint8 pixels as they are, so that mean must be 0 and scale 1; '
                f'mean is {mean}, scale is {scale}'
            )
        return msgspec.convert(
            {
                'size': size,
                'color_order': written.color_order
                or metadata.get('color_order', usual.get('color_order', 'rgb')),
                'mean': mean,
                'scale': scale,
                'resize': resize,
                'shorter_side': written.shorter_side
                or (usual.get('shorter_side') if resize == 'centre_crop' else None),
                'pad': written.pad or metadata.get('pad', usual.get('pad', 'centre')),
                'pad_value': written.pad_value,
            },
            InputSpec,
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise ModelSpecError(f'{path}: input, completed by the ONNX metadata: {error}') from error


def _complete_size(path: Path, written: WrittenInput, onnx: OnnxFile) -> tuple[int, int]:
    if onnx.layout == 'NHWC':
        raise ModelFileError(
            f'{onnx.path}: takes images of the layout NHWC, {list(onnx.inputs[0].shape)}; NCHW is '
            f'needed. `trt_perception export {onnx.path.name} --out nchw.onnx` turns it'
        )
    size = written.size or onnx.input_size() or size_of(onnx.metadata)
    if size is None:
        raise ModelSpecError(
            f'{path}: the ONNX file leaves the input size open; '
            'state it as `input: {size: [width, height]}`'
        )
    return size


def _refuse_unstated_normalisation(
    path: Path, written: WrittenInput, metadata: dict[str, str], family: str
) -> None:
    """Ask for it where the outputs told the family, but the family has several."""
    told = (written.mean, written.scale, metadata.get('mean'), metadata.get('scale'))
    if family in OPEN_INPUT and told == (None,) * 4:
        raise ModelSpecError(
            f'{path}: the outputs are those of family {family}, but how the pixels are normalised '
            'is stated neither here nor in the ONNX metadata. State `family: '
            f'{family}` and `input: {{mean: [...], scale: [...]}}` in a model YAML, in pixels of '
            '0 to 255; ImageNet is mean [123.675, 116.28, 103.53] and scale [0.01712, 0.01751, '
            '0.01743]'
        )


def _triple(
    written: float | tuple[float, float, float] | None,
    metadata: str | None,
    default: float | tuple[float, float, float],
) -> tuple[float, ...]:
    """Three numbers from the YAML file, else from metadata such as '0' or '[1, 2, 3]'."""
    if written is None and metadata is not None:
        values = [float(word) for word in metadata.strip('[]() ').replace(',', ' ').split()]
    else:
        chosen = default if written is None else written
        values = list(chosen) if isinstance(chosen, tuple) else [chosen]
    return tuple(values * 3 if len(values) == 1 else values)
