"""The networks: what they put out, and that export changes nothing."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='needs PyTorch: training/README.md')

from training.networks import (  # noqa: E402
    BINS,
    PROTOTYPES,
    Conv,
    StreetDetector,
    StreetSegmenter,
    anchors,
    fold_batch_norm,
)

SIZE = (64, 96)
COUNT = 8 * 12 + 4 * 6 + 2 * 3


def seen(network):
    """The network after a few steps' worth of statistics, so that no batch norm is trivial."""
    torch.manual_seed(5)
    network.train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
        for _ in range(3):
            network(torch.rand(4, 3, *SIZE))
    return network.eval()


def test_anchors_lie_in_the_middle_of_their_cells():
    points, strides = anchors(*SIZE, torch.device('cpu'))
    assert points.shape == (COUNT, 2)
    assert points[0].tolist() == [4, 4]
    assert points[1].tolist() == [12, 4]
    assert points[-1].tolist() == [80, 48]
    assert [int((strides == stride).sum()) for stride in (8, 16, 32)] == [96, 24, 6]


@pytest.mark.parametrize('batch', [1, 3])
def test_shapes(batch):
    images = torch.rand(batch, 3, *SIZE)
    (boxes,) = StreetDetector(8).eval().decoded(images)
    assert boxes.shape == (batch, 12, COUNT)
    rows, prototypes = StreetDetector(8, instances=True).eval().decoded(images)
    assert rows.shape == (batch, 12 + PROTOTYPES, COUNT)
    assert prototypes.shape == (batch, PROTOTYPES, 16, 24)
    assert StreetSegmenter(13).eval()(images).shape == (batch, 13, 32, 48)


def test_decoded_boxes_follow_the_distances():
    model = StreetDetector(2).eval()
    raw = torch.full((1, 4 * BINS + 2, COUNT), -50.0)
    # left 1, top 2, right 3, bottom 4 strides at every anchor
    for side, distance in enumerate((1, 2, 3, 4)):
        raw[:, side * BINS + distance] = 50.0
    model.forward = lambda images: (raw, None)
    (decoded,) = model.decoded(torch.zeros(1, 3, *SIZE))
    points, strides = anchors(*SIZE, torch.device('cpu'))
    np.testing.assert_allclose(decoded[0, 0], points[:, 0] + strides, atol=1e-3)
    np.testing.assert_allclose(decoded[0, 1], points[:, 1] + strides, atol=1e-3)
    np.testing.assert_allclose(decoded[0, 2], 4 * strides, atol=1e-3)
    np.testing.assert_allclose(decoded[0, 3], 6 * strides, atol=1e-3)
    assert decoded[0, 4:].max() < 1e-6


@pytest.mark.parametrize(
    'network', [StreetDetector(8), StreetDetector(8, instances=True), StreetSegmenter(13)]
)
def test_folding_batch_norms_leaves_the_outputs(network):
    network = seen(network)
    folded = deepcopy(network)
    fold_batch_norm(folded)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [m for m in network.modules() if isinstance(m, Conv)]
    images = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        before, after = network(images), folded(images)
    before = before if isinstance(before, tuple) else (before,)
    after = after if isinstance(after, tuple) else (after,)
    for left, right in zip(before, after, strict=True):
        if left is not None:
            np.testing.assert_allclose(right, left, rtol=1e-3, atol=1e-3)


def test_every_parameter_learns():
    for network in (StreetDetector(8, instances=True), StreetSegmenter(13)):
        output = network.train()(torch.rand(2, 3, *SIZE))
        output = output if isinstance(output, tuple) else (output,)
        sum(part.square().sum() for part in output).backward()
        idle = [name for name, p in network.named_parameters() if p.grad is None]
        assert idle == []
