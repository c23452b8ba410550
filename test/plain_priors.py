"""Prior boxes and deltas as the published descriptions say them, one box after the other.

A prior is centre x, centre y, width, height in pixels of the network's input.
"""

from __future__ import annotations

import math


def ssd_priors(size, cells, scales, ratios, *, steps=None, larger=None, clip=True):
    """Liu et al. 2016, section 2.2, in the order of the Caffe implementation."""
    width, height = size
    found = []
    for level, (columns, rows) in enumerate(cells):
        shares = [(scales[level], scales[level])]
        if larger is None or larger[level]:
            side = math.sqrt(scales[level] * scales[level + 1])
            shares.append((side, side))
        for ratio in ratios[level]:
            w, h = scales[level] * math.sqrt(ratio), scales[level] / math.sqrt(ratio)
            shares += [(w, h), (h, w)]
        if clip:
            shares = [(min(w, 1), min(h, 1)) for w, h in shares]
        pace = (steps[level],) * 2 if steps else (width / columns, height / rows)
        found += [
            ((x + 0.5) * pace[0], (y + 0.5) * pace[1], w * width, h * height)
            for y in range(rows)
            for x in range(columns)
            for w, h in shares
        ]
    return found


def retinanet_anchors(size, *, first=8, floor=True):
    """Lin et al. 2017, section 4, with torchvision's whole numbers."""
    found = []
    for level, base in enumerate((32, 64, 128, 256, 512)):
        stride = first * 2**level
        columns, rows = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        pace = (size[0] // columns, size[1] // rows) if floor else (stride, stride)
        sides = [base, int(base * 2 ** (1 / 3)), int(base * 2 ** (2 / 3))]
        shapes = [
            (2 * round(side / math.sqrt(ratio) / 2), 2 * round(side * math.sqrt(ratio) / 2))
            for ratio in (0.5, 1, 2)
            for side in sides
        ]
        found += [
            (x * pace[0], y * pace[1], w, h)
            for y in range(rows)
            for x in range(columns)
            for w, h in shapes
        ]
    return found


def face_priors(size, sides=((16, 32), (64, 128), (256, 512)), steps=(8, 16, 32)):
    """Deng et al. 2020: squares of two sizes at each cell of three levels."""
    return [
        ((x + 0.5) * step, (y + 0.5) * step, side, side)
        for step, pair in zip(steps, sides, strict=True)
        for y in range(math.ceil(size[1] / step))
        for x in range(math.ceil(size[0] / step))
        for side in pair
    ]


def moved(prior, delta, variances):
    """Ren et al. 2015, equation 2: centre x, centre y, width, height."""
    x, y, w, h = prior
    dx, dy, dw, dh = (d * v for d, v in zip(delta, variances, strict=True))
    most = math.log(1000 / 16)
    return x + dx * w, y + dy * h, w * growth(dw, most), h * growth(dh, most)


def cut(box, size):
    """A box's part in the network's input, as torchvision takes it before suppression."""
    x, y, w, h = box
    if not all(map(math.isfinite, box)) or max(map(abs, box)) > 3e38:
        return (math.nan,) * 4
    x1, x2 = (min(max(v, 0), size[0]) for v in (x - w / 2, x + w / 2))
    y1, y2 = (min(max(v, 0), size[1]) for v in (y - h / 2, y + h / 2))
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def growth(exponent, most):
    return math.exp(min(exponent, most)) if math.isfinite(exponent) else math.nan


def moved_points(prior, deltas, variance):
    """x and y in turn."""
    x, y, w, h = prior
    return [
        (x + d * variance * w) if i % 2 == 0 else (y + d * variance * h)
        for i, d in enumerate(deltas)
    ]


def sigmoids(row):
    """A probability for each logit; -1 for those that are not finite."""
    return [1 / (1 + math.exp(-min(max(v, -80), 80))) if math.isfinite(v) else -1 for v in row]


def softmaxes(row):
    """Probabilities of a row of logits; -1 for all if one is not finite."""
    if not all(map(math.isfinite, row)):
        return [-1] * len(row)
    powers = [math.exp(v - max(row)) for v in row]
    return [power / sum(powers) for power in powers]
