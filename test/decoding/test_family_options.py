from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.errors import ModelSpecError
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec


class Example(FamilyOptions, frozen=True):
    strides: tuple[int, ...] = (8, 16, 32)


def spec_with(**options: object) -> ModelSpec:
    return ModelSpec(
        name='net',
        onnx=Path('net.onnx'),
        family='yolov8',
        task='detect',
        input=InputSpec(size=(64, 48)),
        classes=(ClassSpec(name='car'),),
        options=dict(options),
    )


def test_none_gives_the_defaults():
    assert options_of(spec_with(), Example).strides == (8, 16, 32)


def test_written_ones_are_taken():
    assert options_of(spec_with(strides=[4, 8]), Example).strides == (4, 8)


@pytest.mark.parametrize('options', [{'stride': [8]}, {'strides': 'eight'}])
def test_a_wrong_one_is_named_with_what_is_allowed(options):
    with pytest.raises(ModelSpecError, match=r'net: options: .*strides'):
        options_of(spec_with(**options), Example)


def test_options_do_not_change():
    with pytest.raises(AttributeError):
        options_of(spec_with(), Example).strides = ()
    assert issubclass(FamilyOptions, msgspec.Struct)
