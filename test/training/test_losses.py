"""What training minimises, against plain formulas and small known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip('torch', reason='needs PyTorch: training/README.md')

from training.losses import (  # noqa: E402
    CANDIDATES,
    assign,
    box_iou,
    detection_loss,
    distribution_loss,
    mask_loss,
    semantic_loss,
)
from training.networks import BINS, PROTOTYPES, StreetDetector, anchors  # noqa: E402

SIZE = (64, 96)
POINTS, STRIDES = anchors(*SIZE, torch.device('cpu'))
COUNT = len(POINTS)
TINY = (17.0, 17.0, 19.5, 19.5)
"""Between the anchors of all strides; the nearest lies at 20, 20."""

corner = st.floats(0, 100)
extent = st.floats(1, 100)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, extent, extent)


def plain_iou(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_complete_iou(a, b):
    """Zheng et al. 2020, equations 4 to 11, for one pair."""
    iou = plain_iou(a, b)
    across = (a[0] + a[2] - b[0] - b[2]) / 2
    down = (a[1] + a[3] - b[1] - b[3]) / 2
    hull_w = max(a[2], b[2]) - min(a[0], b[0])
    hull_h = max(a[3], b[3]) - min(a[1], b[1])
    turn = math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))
    v = 4 / math.pi**2 * turn**2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou - (across**2 + down**2) / (hull_w**2 + hull_h**2) - alpha * v


@settings(max_examples=200, deadline=None)
@given(boxes, boxes)
def test_overlap_is_that_of_the_plain_formulas(first, second):
    a, b = torch.tensor([first]), torch.tensor([second])
    assert box_iou(a, b).item() == pytest.approx(plain_iou(first, second), abs=1e-4)
    whole = box_iou(a, b, complete=True).item()
    assert whole == pytest.approx(plain_complete_iou(first, second), abs=2e-4)


def test_overlap_with_no_boxes():
    assert box_iou(torch.zeros(0, 4), torch.zeros(0, 4), complete=True).shape == (0,)


def assigned(objects, predicted=None, scores=None, classes=None):
    """`assign` for one image; unless stated every anchor predicts the first object's box."""
    true = torch.tensor(objects, dtype=torch.float32).reshape(1, -1, 4)
    most = max(true.shape[1], 1)
    valid = torch.zeros(1, most, dtype=torch.bool)
    valid[0, : true.shape[1]] = True
    padded = torch.zeros(1, most, 4)
    padded[0, : true.shape[1]] = true
    kinds = torch.zeros(1, most, dtype=torch.long)
    if classes:
        kinds[0] = torch.tensor(classes)
    if predicted is None:
        predicted = padded[:, :1].expand(1, COUNT, 4)
    if scores is None:
        scores = torch.full((1, COUNT, 3), 0.5)
    return [part[0] for part in assign(scores, predicted, POINTS, padded, kinds, valid)]


def anchors_inside(box):
    x, y = POINTS.T
    return (x > box[0]) & (y > box[1]) & (x < box[2]) & (y < box[3])


def test_an_empty_image_claims_no_anchor():
    owner, target, overlap = assigned([])
    assert torch.all(owner == -1)
    assert not target.any()
    assert not overlap.any()


def test_an_object_claims_the_anchors_inside_it():
    box = (16.0, 8.0, 56.0, 48.0)
    owner, target, _ = assigned([box])
    mine = owner == 0
    assert mine.sum() == CANDIDATES
    inside = anchors_inside(box)
    assert not (mine & ~inside).any()
    assert not target[~mine].any()
    # A perfect box is to be believed as far as it overlaps: fully.
    assert target.max() == pytest.approx(1, abs=1e-4)


def test_the_better_anchors_are_claimed_and_believed_more():
    box = torch.tensor([8.0, 8.0, 72.0, 56.0])
    shift = torch.linspace(0, 20, COUNT)
    predicted = (box + torch.stack((shift, torch.zeros(COUNT), shift, torch.zeros(COUNT)), 1))[None]
    owner, target, _ = assigned([box.tolist()], predicted)
    inside = anchors_inside(box)
    best = torch.nonzero(inside)[:CANDIDATES, 0]
    assert torch.nonzero(owner == 0)[:, 0].tolist() == best.tolist()
    wanted = target[best]
    assert torch.all(wanted[:-1] > wanted[1:])


def test_a_tiny_object_between_anchors_gets_the_nearest():
    assert not anchors_inside(TINY).any()
    owner, target, _ = assigned([TINY])
    assert POINTS[owner == 0].tolist() == [[20, 20]]
    assert target[owner == 0] > 0


def test_a_tiny_object_that_nothing_overlaps_still_has_an_owner():
    predicted = torch.tensor([60.0, 40.0, 90.0, 60.0]).expand(1, COUNT, 4)
    owner, _, overlap = assigned([TINY], predicted)
    assert POINTS[owner == 0].tolist() == [[20, 20]]
    assert not overlap[owner == 0].any()


def test_of_two_overlapping_objects_the_anchor_takes_the_one_it_fits():
    first, second = (8.0, 8.0, 56.0, 56.0), (24.0, 8.0, 72.0, 56.0)
    half = POINTS[:, 0] < 40
    predicted = torch.where(half[:, None], torch.tensor(first), torch.tensor(second))[None]
    owner, target, overlap = assigned([first, second], predicted, classes=[0, 2])
    assert (owner == 0).sum() == CANDIDATES
    assert (owner == 1).sum() == CANDIDATES
    assert torch.all(half[owner == 0])
    assert not half[owner == 1].any()
    assert overlap[owner >= 0].min() > 0.999
    for index in (0, 1):
        assert target[owner == index].max() == pytest.approx(1, abs=1e-4)


def test_the_score_of_the_own_class_decides_between_equal_boxes():
    box = (8.0, 8.0, 72.0, 56.0)
    scores = torch.full((1, COUNT, 3), 0.9)
    scores[0, :, 1] = torch.linspace(0.1, 0.8, COUNT)
    owner, _, _ = assigned([box], scores=scores, classes=[1])
    inside = anchors_inside(box)
    last = torch.nonzero(inside)[-CANDIDATES:, 0]
    assert torch.nonzero(owner == 0)[:, 0].tolist() == last.tolist()


def test_no_distances():
    assert distribution_loss(torch.zeros(0, 4, BINS), torch.zeros(0, 4)).shape == (0,)


@pytest.mark.parametrize('distance', [0.0, 2.0, 3.25, 7.5, 14.9])
def test_the_distribution_that_expects_the_truth_has_the_least_loss(distance):
    low = math.floor(distance)
    share = distance - low
    truth = torch.zeros(1, 4, BINS)
    truth[..., low], truth[..., low + 1] = 1 - share, share
    sides = torch.full((1, 4), distance)
    best = distribution_loss((truth + 1e-9).log(), sides).item()
    entropy = -sum(p * math.log(p) for p in (share, 1 - share) if p)
    assert best == pytest.approx(entropy, abs=1e-3)
    random = torch.Generator().manual_seed(3)
    for _ in range(50):
        other = (truth + 1e-9).log() + 0.3 * torch.randn(1, 4, BINS, generator=random)
        assert distribution_loss(other, sides).item() >= best


def test_descent_finds_the_distance():
    bins = torch.zeros(1, 4, BINS, requires_grad=True)
    sides = torch.tensor([[0.5, 3.25, 8.0, 14.0]])
    optimiser = torch.optim.Adam([bins], 0.2)
    for _ in range(300):
        optimiser.zero_grad()
        distribution_loss(bins, sides).sum().backward()
        optimiser.step()
    expected = (bins.softmax(-1) * torch.arange(BINS)).sum(-1)
    np.testing.assert_allclose(expected.detach(), sides, atol=0.05)


def test_what_lies_beyond_the_bins_counts_as_the_last():
    flat = torch.zeros(1, 4, BINS)
    far = distribution_loss(flat, torch.full((1, 4), 40.0))
    assert far.isfinite().all()
    negative = distribution_loss(flat, torch.full((1, 4), -3.0))
    assert negative == pytest.approx(math.log(BINS), abs=1e-5)


def mask_case(sign):
    """One object of 24x24 pixels; the first prototype is `sign` where it is, else -sign."""
    ids = torch.zeros(1, *(side // 4 for side in SIZE), dtype=torch.uint8)
    ids[0, 4:10, 4:10] = 1
    prototypes = torch.zeros(1, PROTOTYPES, *ids.shape[1:])
    prototypes[0, 0] = torch.where(ids[0] == 1, sign, -sign)
    coefficients = torch.zeros(1, COUNT, PROTOTYPES)
    coefficients[..., 0] = 12.0
    true = torch.tensor([[[16.0, 16.0, 40.0, 40.0]]])
    return coefficients, prototypes, true, ids


def masks_lose(sign, owned):
    coefficients, prototypes, true, ids = mask_case(sign)
    owner = torch.full((1, COUNT), -1)
    target = torch.zeros(1, COUNT)
    owner[0, :owned], target[0, :owned] = 0, 0.8
    return mask_loss(coefficients, prototypes, owner, target, true, ids).item()


def test_no_masks_no_loss():
    assert masks_lose(1.0, 0) == 0


def test_right_masks_cost_nothing_and_wrong_ones_much():
    assert masks_lose(1.0, 3) == pytest.approx(0, abs=0.01)
    assert masks_lose(0.0, 3) > 0.5
    assert masks_lose(-1.0, 3) > 5


def test_masks_do_not_count_outside_their_boxes():
    coefficients, prototypes, true, ids = mask_case(1.0)
    owner, target = torch.zeros(1, COUNT, dtype=torch.long), torch.ones(1, COUNT)
    before = mask_loss(coefficients, prototypes, owner, target, true, ids)
    prototypes[0, 0, :, 12:] = 5.0
    assert mask_loss(coefficients, prototypes, owner, target, true, ids) == before
    prototypes[0, 0, 5:7, 5:7] = -5.0
    assert mask_loss(coefficients, prototypes, owner, target, true, ids) > before + 1


def detected(raw, model, objects, classes):
    true = torch.tensor(objects, dtype=torch.float32).reshape(1, -1, 4)
    valid = torch.ones(true.shape[:2], dtype=torch.bool)
    if not len(objects):
        true, valid = torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.bool)
    kinds = torch.tensor([classes or [0]])
    return detection_loss(model, raw, None, true, kinds, valid, None, SIZE)


def test_an_image_without_objects_costs_only_what_is_claimed():
    model = StreetDetector(3)
    raw = torch.zeros(1, 4 * BINS + 3, COUNT)
    raw[:, 4 * BINS :] = -20
    losses = detected(raw, model, [], [])
    assert {name: value.item() for name, value in losses.items()} == {
        'class': pytest.approx(0, abs=1e-4),
        'box': 0,
        'bins': 0,
    }
    raw[:, 4 * BINS :] = 0
    assert detected(raw, model, [], [])['class'].item() == pytest.approx(3 * COUNT * math.log(2))


def test_descent_on_the_head_finds_box_and_class():
    """The loss alone, without a network: its least value is where the object is."""
    model = StreetDetector(3)
    box = (19.0, 9.0, 61.0, 50.0)
    raw = torch.zeros(1, 4 * BINS + 3, COUNT, requires_grad=True)
    optimiser = torch.optim.Adam([raw], 0.1)
    for _ in range(250):
        optimiser.zero_grad()
        losses = detected(raw, model, [box], [2])
        (0.5 * losses['class'] + 7.5 * losses['box'] + 1.5 * losses['bins']).backward()
        optimiser.step()
    scores = raw[0, 4 * BINS :].sigmoid().detach()
    assert scores.max(0).values.argmax() == scores[2].argmax()
    best = int(scores[2].argmax())
    assert scores[2, best] > 0.8
    assert scores[:2].max() < 0.2
    sides = model.distances(raw)[0, :, best].detach() * STRIDES[best]
    found = torch.cat((POINTS[best] - sides[:2], POINTS[best] + sides[2:]))
    np.testing.assert_allclose(found, box, atol=1.0)


def test_all_pixels_unknown_leave_the_shapes_alone():
    labels = torch.full((1, 8, 8), 255, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    losses = semantic_loss(torch.zeros(1, 3, 4, 4), labels, torch.ones(3))
    assert losses['entropy'].item() == pytest.approx(math.log(3), abs=1e-5)


def test_right_labels_cost_nothing_and_wrong_ones_much():
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 2
    right = 30 * torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2).float()
    good = semantic_loss(right, labels, torch.ones(3))
    bad = semantic_loss(right.flip(3), labels, torch.ones(3))
    assert good['entropy'].item() == pytest.approx(0, abs=1e-3)
    assert good['dice'].item() == pytest.approx(0, abs=0.02)
    assert bad['entropy'].item() > 10
    assert bad['dice'].item() > 0.9
