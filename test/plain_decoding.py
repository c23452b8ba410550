"""Decoding as the published formulas say it, in float64, one object after the other.

Everything here is written to be checked by reading. The decoders are compared with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Proposal:
    """One candidate in network pixels.

    `box` is centre x, centre y, width, height; of families that choose themselves, which need no
    IoU, it is x1 y1 x2 y2.
    """

    box: tuple[float, ...]
    score: float
    class_id: int
    extras: list[float] = field(default_factory=list)


def best_class(scores):
    """(score, class id) of the highest score; None if one of them is no number."""
    if any(math.isnan(s) for s in scores):
        return None
    class_id = max(range(len(scores)), key=lambda i: (scores[i], -i))
    return scores[class_id], class_id


def to_source(x, y, letterbox):
    (sw, sh), (rw, rh), (left, top) = letterbox.source, letterbox.resized, letterbox.offset
    return (x - left) * sw / rw, (y - top) * sh / rh


def clipped(x1, y1, x2, y2, letterbox):
    width, height = letterbox.source
    (x1, y1), (x2, y2) = to_source(x1, y1, letterbox), to_source(x2, y2, letterbox)
    return (
        min(max(x1, 0), width),
        min(max(y1, 0), height),
        min(max(x2, 0), width),
        min(max(y2, 0), height),
    )


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(one, other):
    a, b = corners(one), corners(other)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def covariance(w, h, angle):
    a, b = w * w / 12, h * h / 12
    cos, sin = math.cos(angle), math.sin(angle)
    return a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin


def prob_iou(one, other, eps=1e-7):
    """Of (x, y, w, h, angle); arXiv:2106.06072, with the small numbers of Ultralytics."""
    (x1, y1, *shape1), (x2, y2, *shape2) = one, other
    a1, b1, c1 = covariance(*shape1)
    a2, b2, c2 = covariance(*shape2)
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    t1 = (a * (y1 - y2) ** 2 + b * (x1 - x2) ** 2) / (a * b - c * c + eps) / 4
    t2 = c * (x2 - x1) * (y1 - y2) / (a * b - c * c + eps) / 2
    product = max(a1 * b1 - c1 * c1, 0) * max(a2 * b2 - c2 * c2, 0)
    t3 = math.log((a * b - c * c) / (4 * math.sqrt(product) + eps) + eps) / 2
    distance = min(max(t1 + t2 + t3, eps), 100)
    return 1 - math.sqrt(1 - math.exp(-distance) + eps)


def wanted(proposals, settings):
    """Those that score enough and are of a wanted class, by falling score."""
    classes = settings.class_filter
    chosen = [
        p
        for p in proposals
        if settings.score <= p.score < math.inf and (classes is None or p.class_id in classes)
    ]
    return sorted(chosen, key=lambda p: -min(p.score, 1))


def plain_objects(proposals, letterbox, settings, *, suppressed=True):
    """[(box in the source, proposal)] of upright boxes, by falling score.

    Extras that no later sum could bear make a candidate go, like those that are not finite.
    """
    kept = []
    for p in wanted(proposals, settings):
        if not all(map(math.isfinite, p.box)) or not all(abs(v) <= 1e30 for v in p.extras):
            continue
        x1, y1, x2, y2 = clipped(*(corners(p.box) if suppressed else p.box), letterbox)
        if x2 <= x1 or y2 <= y1:
            continue
        rivals = [q for _, q in kept if q.class_id == p.class_id] if suppressed else []
        if all(iou(p.box, q.box) <= settings.iou for q in rivals):
            kept.append(((x1, y1, x2, y2), p))
    return kept[: settings.max_detections]


def plain_rotated(proposals, letterbox, settings, *, suppression='published'):
    """[(box in the source, rotated corners there, proposal)]; the angle is the only extra."""
    kept, before = [], []
    for p in wanted(proposals, settings):
        numbers = (*p.box, *p.extras)
        if not all(abs(v) <= 1e30 for v in numbers) or p.box[2] <= 0 or p.box[3] <= 0:
            continue
        rim = [to_source(x, y, letterbox) for x, y in rotated_corners(*numbers)]
        xs, ys = zip(*rim, strict=True)
        (w, h) = letterbox.source
        box = tuple(
            min(max(v, 0), most)
            for v, most in ((min(xs), w), (min(ys), h), (max(xs), w), (max(ys), h))
        )
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        rivals = before if suppression == 'published' else [q for *_, q in kept]
        rivals = [q for q in rivals if q.class_id == p.class_id]
        before.append(p)
        if suppression is None or all(
            prob_iou(numbers, (*q.box, *q.extras)) <= settings.iou for q in rivals
        ):
            kept.append((box, rim, p))
    return kept[: settings.max_detections]


def rotated_corners(x, y, w, h, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (x + cos * dx - sin * dy, y + sin * dx + cos * dy)
        for dx, dy in ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    ]


def plain_mask_logits(coefficients, prototypes, letterbox):
    """float64 [H, W]: coefficients times prototypes, bilinear at the centres of source pixels."""
    planes = np.asarray(prototypes, np.float64)
    logits = sum(c * plane for c, plane in zip(coefficients, planes, strict=True))
    (nw, nh), (height, width) = letterbox.network, logits.shape

    def places(pixels, axis, cells, extent):
        scale = letterbox.resized[axis] / letterbox.source[axis]
        at = ((np.arange(pixels) + 0.5) * scale + letterbox.offset[axis]) * cells / extent - 0.5
        at = np.clip(at, 0, cells - 1)
        low = np.minimum(at.astype(int), max(cells - 2, 0))
        return low, np.minimum(low + 1, cells - 1), at - low

    x0, x1, fx = places(letterbox.source[0], 0, width, nw)
    y0, y1, fy = places(letterbox.source[1], 1, height, nh)
    above = logits[y0][:, x0] * (1 - fx) + logits[y0][:, x1] * fx
    below = logits[y1][:, x0] * (1 - fx) + logits[y1][:, x1] * fx
    return above * (1 - fy)[:, None] + below * fy[:, None]
