"""Which layers cost accuracy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from building.calibrated import minmax_ranges
from family_networks import Net, write_family
from trt_perception.building.calibration_ranges import CalibrationRanges, TensorRange
from trt_perception.building.sensitivity import Sensitivity
from trt_perception.errors import ParameterError
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec

SIZE = (128, 96)


def spec_of(path: Path) -> ModelSpec:
    return ModelSpec(
        name='net',
        onnx=path,
        family='semantic',
        task='semantic',
        input=InputSpec(size=SIZE),
        classes=tuple(ClassSpec(name=str(i)) for i in range(6)),
    )


def images(count: int) -> list[np.ndarray]:
    small = np.random.default_rng(1).integers(0, 256, (count, 6, 8, 3), np.uint8)
    return [cv2.resize(s, SIZE, interpolation=cv2.INTER_NEAREST) for s in small]


def calibrated(path: Path, pictures: list[np.ndarray]) -> CalibrationRanges:
    tensors = [(p[..., ::-1] / np.float32(255)).transpose(2, 0, 1)[None] for p in pictures]
    return minmax_ranges(path, tensors)


@pytest.fixture
def bottleneck(tmp_path: Path) -> tuple[Path, str]:
    """A network one layer of which must not be int8: its input has a far outlier."""
    net = Net()
    x = net.conv(net.conv('images', 32, 3, 4, act='relu'), 32, act='relu')
    gains = np.ones((1, 32, 1, 1), np.float32)
    gains[0, 0] = 4000
    x = net.op('Mul', x, net.const(gains))
    weight = net.rng.normal(0, 0.1, (32, 32, 3, 3)).astype(np.float32)
    weight[:, 0] /= 4000
    bad = net.op('Conv', x, net.const(weight), channels=32, pads=[1] * 4)
    x = net.conv(net.act(bad, 'relu'), 32, act='relu')
    logits = net.conv(x, 6, 1, act='')
    onnx.save(net.model({logits: (6, 24, 32)}), str(tmp_path / 'net.onnx'))
    return tmp_path / 'net.onnx', next(n.name for n in net.nodes if n.output[0] == bad)


def test_without_images(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'ddrnet')
    ranges = CalibrationRanges(
        onnx='x', onnx_sha256='0', method='minmax', tensors={'a': TensorRange(1.0)}
    )
    with pytest.raises(ParameterError, match='at least one image'):
        Sensitivity(spec_of(path), ranges, [])


@pytest.mark.parametrize('mode', ['only', 'without'])
def test_the_layer_that_costs_most_comes_first(bottleneck, mode):
    path, bad = bottleneck
    pictures = images(2)
    measured = Sensitivity(spec_of(path), calibrated(path, pictures), pictures)
    counted = []
    costs = measured.costs(mode, counted.append)
    assert counted == list(range(1, len(measured.layers) + 1))
    assert {cost.layer for cost in costs} == set(measured.layers)
    assert costs[0].layer == bad
    assert costs[0].loss > 0.05
    assert costs[0].error > 4 * costs[1].error


def test_the_costly_layer_is_chosen_for_float(bottleneck):
    path, bad = bottleneck
    pictures = images(2)
    measured = Sensitivity(spec_of(path), calibrated(path, pictures), pictures)
    costs = measured.costs()
    everything = measured.figures(())
    choice = measured.choose(costs, budget=0.1, least_share=0.2)
    assert choice.reached
    assert choice.layers[0] == bad
    assert choice.figures.agreement >= 0.9 > everything.agreement
    assert choice.int8_share >= 0.2
    # Where all must stay int8 nothing can be chosen, and the budget is missed.
    none = measured.choose(costs, budget=0.1, least_share=1.0)
    assert (none.layers, none.reached) == ((), False)


def test_layers_kept_float_are_not_measured(bottleneck):
    path, bad = bottleneck
    pictures = images(1)
    ranges = calibrated(path, pictures)
    measured = Sensitivity(spec_of(path), ranges, pictures, keep_float=[bad])
    assert bad not in measured.layers
    assert measured.layers
