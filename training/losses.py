"""What training minimises, written from the papers' formulas.

Task-aligned assignment (Feng et al. 2021), complete IoU (Zheng et al. 2020), distribution focal
loss (Li et al. 2020), masks from prototypes (Bolya et al. 2019), Dice (Milletari et al. 2016).
Boxes are padded to a fixed number M of objects an image; `valid` says which are real.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.networks import BINS, StreetDetector, anchors

CANDIDATES = 10
"""Anchors that one object may claim."""
ALPHA, BETA = 0.5, 6.0
"""Weights of score and overlap in the alignment of an anchor with an object."""


def box_iou(first: Tensor, second: Tensor, *, complete: bool = False) -> Tensor:
    """IoU [...] of boxes xyxy [..., 4]; with `complete` less centre distance and aspect terms."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    size_1 = (first[..., 2:] - first[..., :2]).clamp(min=1e-6)
    size_2 = (second[..., 2:] - second[..., :2]).clamp(min=1e-6)
    iou = shared / (size_1.prod(-1) + size_2.prod(-1) - shared + 1e-6)
    if not complete:
        return iou
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(
        first[..., :2], second[..., :2]
    )
    gap = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = gap.square().sum(-1) / (hull.square().sum(-1) + 1e-6)
    turn = torch.atan(size_2[..., 0] / size_2[..., 1]) - torch.atan(size_1[..., 0] / size_1[..., 1])
    aspect = 4 / math.pi**2 * turn.square()
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + 1e-6)
    return iou - distance - weight * aspect


@torch.no_grad()
def assign(
    scores: Tensor, predicted: Tensor, points: Tensor, boxes: Tensor, classes: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Give anchors to objects by how well they already do.

    Args:
        scores: [B, N, C] in 0..1. predicted: [B, N, 4] xyxy pixels. points: [N, 2].
        boxes: [B, M, 4]. classes: [B, M]. valid: [B, M] bool.

    Returns:
        owner [B, N] (index of the object, -1 for none), target score [B, N] in 0..1, and the
        overlap [B, N] of the predicted box with its owner.
    """
    inside = (
        torch.cat((points[None, None] - boxes[:, :, None, :2], boxes[:, :, None, 2:] - points), -1)
        .amin(-1)
        .gt(0)
    ) & valid[:, :, None]
    overlap = box_iou(predicted[:, None], boxes[:, :, None]).clamp(0, 1)
    wanted = classes[:, None, :].expand(-1, scores.shape[1], -1)
    score = scores.gather(2, wanted).transpose(1, 2)
    alignment = score.pow(ALPHA) * overlap.pow(BETA) * inside
    # Objects between anchor points still get the nearest one.
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    nearest = torch.cdist(centre, points[None].expand(len(boxes), -1, -1)).argmin(2)
    lonely = valid & ~inside.any(2)
    forced = functional.one_hot(nearest, points.shape[0]).bool() & lonely[..., None]
    alignment = torch.where(forced, alignment.clamp(min=1e-6), alignment)
    best, index = alignment.topk(CANDIDATES, 2)
    chosen = torch.zeros_like(alignment).scatter_(2, index, (best > 0).float()).bool() | forced
    claimed = torch.where(chosen, overlap, torch.full_like(overlap, -1.0))
    value, owner = claimed.max(1)
    owner = torch.where(value >= 0, owner, torch.full_like(owner, -1))
    mine = functional.one_hot(owner.clamp(min=0), boxes.shape[1]).bool().transpose(1, 2)
    mine &= (owner >= 0)[:, None]
    alignment = alignment * mine
    top = alignment.amax(2, keepdim=True).clamp(min=1e-9)
    reach = (overlap * mine).amax(2, keepdim=True)
    target = (alignment / top * reach).sum(1)
    return owner, target, value.clamp(min=0)


def detection_loss(
    model: StreetDetector,
    raw: Tensor,
    prototypes: Tensor | None,
    boxes: Tensor,
    classes: Tensor,
    valid: Tensor,
    instance_ids: Tensor | None,
    size: tuple[int, int],
) -> dict[str, Tensor]:
    """Losses by name; `size` is (height, width) of the images.

    `instance_ids` [B, H/4, W/4] holds i + 1 where object i is, for masks.
    """
    raw = raw.float()
    points, strides = anchors(*size, raw.device)
    distances = model.distances(raw).transpose(1, 2)
    scale = strides[None, :, None]
    predicted = torch.cat(
        (points - distances[..., :2] * scale, points + distances[..., 2:] * scale), -1
    )
    logits = raw[:, 4 * BINS : 4 * BINS + model.class_count].transpose(1, 2)
    owner, target, _ = assign(
        logits.detach().sigmoid(), predicted.detach(), points, boxes, classes, valid
    )
    rows = torch.arange(len(boxes), device=raw.device)[:, None].expand_as(owner)
    positive = owner >= 0
    wanted = torch.zeros_like(logits)
    index = owner.clamp(min=0)
    wanted.scatter_(2, classes.gather(1, index)[..., None], (target * positive)[..., None])
    total = wanted.sum().clamp(min=1.0)
    losses = {
        'class': functional.binary_cross_entropy_with_logits(logits, wanted, reduction='sum')
        / total
    }
    goal = boxes[rows[positive], owner[positive]]
    weight = target[positive]
    losses['box'] = ((1 - box_iou(predicted[positive], goal, complete=True)) * weight).sum() / total
    bins = raw[:, : 4 * BINS].transpose(1, 2)[positive].view(-1, 4, BINS)
    where = points.expand(len(boxes), -1, -1)[positive]
    stride = strides.expand(len(boxes), -1)[positive][:, None]
    sides = torch.cat((where - goal[:, :2], goal[:, 2:] - where), 1) / stride
    losses['bins'] = (distribution_loss(bins, sides) * weight).sum() / total
    if prototypes is not None and instance_ids is not None:
        coefficients = raw[:, 4 * BINS + model.class_count :].transpose(1, 2)
        losses['mask'] = mask_loss(
            coefficients, prototypes.float(), owner, target, boxes, instance_ids
        )
    return losses


def distribution_loss(bins: Tensor, sides: Tensor) -> Tensor:
    """Cross entropy [P] with the two bins next to each distance; bins [P, 4, BINS]."""
    sides = sides.clamp(0, BINS - 1.01)
    low = sides.floor().long()
    share = sides - low
    logs = bins.log_softmax(-1)
    near = -logs.gather(-1, low[..., None])[..., 0] * (1 - share)
    far = -logs.gather(-1, low[..., None] + 1)[..., 0] * share
    return (near + far).mean(-1)


def mask_loss(
    coefficients: Tensor,
    prototypes: Tensor,
    owner: Tensor,
    target: Tensor,
    boxes: Tensor,
    instance_ids: Tensor,
    most: int = 24,
) -> Tensor:
    """Cross entropy and Dice of masks inside their boxes, over at most `most` anchors an image."""
    height, width = prototypes.shape[-2:]
    ys = (torch.arange(height, device=boxes.device) + 0.5) * 4
    xs = (torch.arange(width, device=boxes.device) + 0.5) * 4
    weight, index = (target * (owner >= 0)).topk(most, 1)
    real = (weight > 0).float()
    who = owner.gather(1, index).clamp(min=0)
    chosen = coefficients.gather(1, index[..., None].expand(-1, -1, coefficients.shape[2]))
    logits = torch.einsum('bkc,bchw->bkhw', chosen, prototypes)
    box = boxes.gather(1, who[..., None].expand(-1, -1, 4))
    inside = ((xs > box[..., :1] - 2) & (xs < box[..., 2:3] + 2))[:, :, None, :] & (
        (ys > box[..., 1:2] - 2) & (ys < box[..., 3:] + 2)
    )[..., None]
    truth = (instance_ids[:, None] == (who + 1)[..., None, None]) & inside
    area = inside.sum((2, 3)).clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth.float(), reduction='none')
    share = logits.sigmoid() * inside
    shared = (share * truth).sum((2, 3))
    dice = 1 - (2 * shared + 1) / (share.sum((2, 3)) + truth.sum((2, 3)) + 1)
    each = (entropy * inside).sum((2, 3)) / area + dice
    return (each * real).sum() / real.sum().clamp(min=1)


def semantic_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Cross entropy and Dice of logits [B, C, h, w] enlarged to labels [B, H, W] (255: ignored)."""
    logits = functional.interpolate(
        logits.float(), labels.shape[-2:], mode='bilinear', align_corners=False
    )
    labels = labels.long()
    entropy = functional.cross_entropy(logits, labels, weights, ignore_index=255)
    known = labels != 255
    truth = functional.one_hot(labels.where(known, torch.zeros_like(labels)), logits.shape[1])
    truth = truth.permute(0, 3, 1, 2) * known[:, None]
    shares = logits.softmax(1) * known[:, None]
    shared = (shares * truth).sum((0, 2, 3))
    both = shares.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    dice = 1 - (2 * shared + 1) / (both + 1)
    return {'entropy': entropy, 'dice': dice[present].mean()}
