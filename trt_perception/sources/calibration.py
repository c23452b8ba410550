"""What is known of a camera's geometry: from its field of view, or from a calibration file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import yaml

from trt_perception.errors import ParameterError

Numbers = tuple[float, ...]
_COEFFICIENTS = {'plumb_bob': 5, 'rational_polynomial': 8, 'equidistant': 4}
"""How many distortion coefficients each model of ROS has."""


@dataclass(frozen=True)
class Calibration:
    """The fields of sensor_msgs/CameraInfo, matrices row by row.

    Attributes:
        width, height: of the images that it describes, pixels.
        distortion_model: 'plumb_bob', 'rational_polynomial' or 'equidistant'.
        d: distortion coefficients.
        k: intrinsic camera matrix, 9 numbers.
        r: rectification rotation, 9 numbers.
        p: projection matrix, 12 numbers.
    """

    width: int
    height: int
    distortion_model: str
    d: Numbers
    k: Numbers
    r: Numbers
    p: Numbers

    def resized(self, width: int, height: int) -> Calibration:
        """The same camera with its whole image resized to `width` and `height`.

        Pixel (0, 0) is the centre of the first pixel, so that a point at x moves to
        (x + 0.5) * factor - 0.5.
        """
        if (width, height) == (self.width, self.height):
            return self
        across, down = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            k=_moved(self.k, across, down),
            p=_moved(self.p, across, down),
        )


def pinhole(width: int, height: int, field_of_view_deg: float) -> Calibration:
    """An ideal camera without distortion that looks through the middle of its image.

    Args:
        width, height: of the image, pixels.
        field_of_view_deg: horizontal, between the outer edges of the image, above 0, below 180.
    """
    focal = width / 2 / math.tan(math.radians(field_of_view_deg) / 2)
    x, y = (width - 1) / 2, (height - 1) / 2
    return Calibration(
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=(0.0,) * 5,
        k=(focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0),
        r=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        p=(focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0),
    )


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file as ROS camera drivers and camera_calibration write it.

    Raises:
        ParameterError: it is missing, not YAML, or does not hold what it should.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
        file = msgspec.convert(document, _CalibrationFile)
    except FileNotFoundError:
        raise ParameterError(f'calibration file {path}: there is no such file') from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f'calibration file {path}: cannot be read: {error}') from error
    except msgspec.ValidationError as error:
        raise ParameterError(
            f'calibration file {path}: {error}. The layout is that of camera_calibration: '
            'image_width, image_height, distortion_model, camera_matrix, '
            'distortion_coefficients, rectification_matrix, projection_matrix'
        ) from error
    # A date or number that is none, or nesting without end, ends in errors of Python's own.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ParameterError(f'calibration file {path}: not valid YAML: {error}') from error
    wanted = _COEFFICIENTS[file.distortion_model]
    if len(file.distortion_coefficients.data) < min(wanted, 4):
        raise ParameterError(
            f'calibration file {path}: {file.distortion_model} needs {wanted} '
            f'distortion_coefficients, not {len(file.distortion_coefficients.data)}'
        )
    return Calibration(
        file.image_width,
        file.image_height,
        file.distortion_model,
        file.distortion_coefficients.data,
        file.camera_matrix.data,
        file.rectification_matrix.data,
        file.projection_matrix.data,
    )


def _moved(matrix: Numbers, across: float, down: float) -> Numbers:
    """`matrix`, of three rows, after pixels moved as in `Calibration.resized`."""
    move = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return tuple((move @ np.reshape(matrix, (3, -1))).reshape(-1).tolist())


_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _Coefficients(msgspec.Struct, frozen=True):
    data: Numbers


class _Matrix3x3(msgspec.Struct, frozen=True):
    data: Annotated[Numbers, msgspec.Meta(min_length=9, max_length=9)]


class _Matrix3x4(msgspec.Struct, frozen=True):
    data: Annotated[Numbers, msgspec.Meta(min_length=12, max_length=12)]


class _CalibrationFile(msgspec.Struct, frozen=True):
    """As camera_calibration_parsers writes it; unknown keys are left to others."""

    image_width: _Positive
    image_height: _Positive
    distortion_model: Literal['plumb_bob', 'rational_polynomial', 'equidistant']
    camera_matrix: _Matrix3x3
    distortion_coefficients: _Coefficients
    rectification_matrix: _Matrix3x3
    projection_matrix: _Matrix3x4
