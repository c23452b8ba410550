"""Which extents of a network's inputs an engine covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trt_perception.building.engine_identity import ShapeRange
from trt_perception.building.network_stride import NetworkStride
from trt_perception.errors import ParameterError

Profile = Mapping[str, ShapeRange]
"""The extents of every input, by its name."""

Size = tuple[int, int]
SizeRange = tuple[Size, Size, Size]
"""Least, best and largest (width, height), in pixels."""


def profiles_for(
    inputs: Mapping[str, tuple[int, ...]],
    size: Size,
    batch: tuple[int, int, int] | None,
    origin: str,
    sizes: SizeRange | None = None,
) -> tuple[Profile, ...]:
    """The profile that opens the batch and the size, and fixes all else; () if nothing is open.

    Args:
        inputs: shape of each input; -1 where an extent is open.
        size: (width, height) that the pipeline feeds, for open extents of an image.
        batch: least, best and largest; None is 1 if the network leaves it open.
        origin: how errors call the model.
        sizes: what the engine shall take; None is `size` alone.

    Raises:
        ParameterError: a batch or a size is asked for that the network does not have, `size` lies
            outside `sizes`, or an extent is open that is neither the batch nor the size of an
            image.
    """
    if batch and not 1 <= batch[0] <= batch[1] <= batch[2]:
        shown = ':'.join(map(str, batch))
        raise ParameterError(f'batch {shown}: it must be min <= opt <= max, each at least 1')
    if sizes is not None:
        for name, shape in inputs.items():
            # An input [batch, 2] beside the image tells a size and has none.
            if len(shape) != 2 or len(inputs) == 1:
                _check_sizes(name, shape, sizes, size, origin)
    profile = {}
    for name, shape in inputs.items():
        if -1 not in shape and batch is None:
            continue
        steps = zip(batch or (1, 1, 1), sizes or (size,) * 3, strict=True)
        profile[name] = ShapeRange(
            *(_extents(name, shape, extent, number, origin) for number, extent in steps)
        )
    if not profile:
        return ()
    check_profiles(inputs, (profile,), origin)
    return () if all(-1 not in shape for shape in inputs.values()) else (profile,)


def check_multiples(sizes: SizeRange, stride: NetworkStride, origin: str) -> None:
    """Make sure that the network can take the sizes at both ends of a range, and the best one.

    Raises:
        ParameterError: one is no multiple of what the network asks for.
    """
    for width, height in sizes:
        if width % stride.width or height % stride.height:
            each = (
                f'multiples of {stride.width}'
                if stride.width == stride.height
                else f'a multiple of {stride.width} and one of {stride.height}'
            )
            next_width = -(-width // stride.width) * stride.width
            next_height = -(-height // stride.height) * stride.height
            raise ParameterError(
                f'{origin}: size {width}x{height} does not fit the network: width and height must '
                f'be {each}, since node {stride.node} joins maps that were reduced and enlarged '
                f'again. The next that fits is {next_width}x{next_height}'
            )


def shown_sizes(sizes: SizeRange) -> str:
    """'320x192:640x384:1280x768', or '640x384' where all are one."""
    texts = [f'{width}x{height}' for width, height in sizes]
    return texts[0] if len(set(texts)) == 1 else ':'.join(texts)


def _check_sizes(
    name: str, shape: tuple[int, ...], sizes: SizeRange, size: Size, origin: str
) -> None:
    shown = f'size {shown_sizes(sizes)}'
    least, best, largest = sizes
    for low, middle, high in zip(least, best, largest, strict=True):
        if not 1 <= low <= middle <= high:
            raise ParameterError(
                f'{shown}: width and height must both be min <= opt <= max, each at least 1'
            )
    if len(shape) != 4:
        raise ParameterError(
            f'{origin}: {shown} is not possible: input {name} {_shape(shape)} is no image of '
            'batch, channels, height and width'
        )
    for axis, what in ((0, 'width'), (1, 'height')):
        fixed = shape[3 - axis]
        if fixed != -1 and {extent[axis] for extent in sizes} != {fixed}:
            raise ParameterError(
                f'{origin}: {shown} is not possible: input {name} {_shape(shape)} has its {what} '
                f'fixed at {fixed}. Export the network with open height and width, for example '
                'with dynamic_axes of torch.onnx.export'
            )
        if not least[axis] <= size[axis] <= largest[axis]:
            raise ParameterError(
                f'{origin}: {shown} leaves out {size[0]}x{size[1]}, the input.size of the model '
                'YAML, which is what is fed. Widen the range, or change input.size'
            )


def _extents(
    name: str, shape: tuple[int, ...], size: Size, batch: int, origin: str
) -> tuple[int, ...]:
    usual = (batch, -1, size[1], size[0]) if len(shape) == 4 else (batch,)
    filled = []
    for axis, extent in enumerate(shape):
        value = batch if axis == 0 else extent
        if value == -1:
            value = usual[axis] if axis < len(usual) else -1
        if value == -1:
            raise ParameterError(
                f'{origin}: input {name} {_shape(shape)} leaves axis {axis} open, which is neither '
                'the batch nor the size of an image. Export the network with that axis fixed'
            )
        filled.append(value)
    return tuple(filled)


def check_profiles(
    inputs: Mapping[str, tuple[int, ...]],
    profiles: Sequence[Profile],
    origin: str,
) -> None:
    """Make sure that optimisation profiles cover the open extents of a network.

    Args:
        inputs: shape of each input; -1 where an extent is open.
        profiles: as the engine shall have them.
        origin: how errors call the model.

    Raises:
        ParameterError: an open extent has no profile, a profile names no input of the network,
            has another rank, changes a fixed extent, or is not min <= opt <= max.
    """
    for name, shape in inputs.items():
        if -1 in shape and not all(name in profile for profile in profiles or ({},)):
            raise ParameterError(
                f'{origin}: input {name} {_shape(shape)} has open extents, so it needs an '
                'optimisation profile. State the range, for example --batch 1:4:8, or export the '
                'network with fixed extents'
            )
    for profile in profiles:
        for name, extents in profile.items():
            if name not in inputs:
                raise ParameterError(
                    f'{origin}: a profile names input {name}; there are: {", ".join(inputs)}'
                )
            _check_range(name, inputs[name], extents, origin)


def _check_range(name: str, shape: tuple[int, ...], extents: ShapeRange, origin: str) -> None:
    if not len(shape) == len(extents.min) == len(extents.opt) == len(extents.max):
        raise ParameterError(
            f'{origin}: input {name} {_shape(shape)} has {len(shape)} axes; the profile {extents} '
            'must have as many'
        )
    for axis, fixed in enumerate(shape):
        low, best, high = extents.min[axis], extents.opt[axis], extents.max[axis]
        if not 1 <= low <= best <= high:
            raise ParameterError(
                f'{origin}: input {name}, axis {axis}: {low}:{best}:{high} must be '
                'min <= opt <= max, each at least 1'
            )
        if fixed != -1 and not low == high == fixed:
            raise ParameterError(
                f'{origin}: input {name} {_shape(shape)} has axis {axis} fixed at {fixed}; '
                f'{low}:{best}:{high} is not possible. Export the network with that axis open'
            )


def _shape(shape: tuple[int, ...]) -> str:
    return '[' + ', '.join('?' if extent == -1 else str(extent) for extent in shape) + ']'
