"""The cases of decode_time.py that are not YOLO's."""

from __future__ import annotations

from typing import Any

import numpy as np
from decode_time_outputs import OBJECTS, PER_OBJECT, Case, Outputs, places

COUNT = OBJECTS * PER_OBJECT


def as_arrays(**outputs: Any) -> dict[str, Any]:
    """float32, with an axis for the batch."""
    return {n: np.ascontiguousarray(a[None], dtype=np.float32) for n, a in outputs.items()}


def shares(rng: Any, count: int) -> Any:
    """Boxes as shares of the input, centre x, centre y, width, height."""
    return places(rng, count, 1) / 640


def rtdetr(rng: Any) -> dict[str, Any]:
    scores = rng.random((300, 80)) * 0.1
    scores[:OBJECTS, 3] = 0.8
    return as_arrays(output0=np.concatenate([shares(rng, 300), scores], axis=1))


def detr(rng: Any) -> dict[str, Any]:
    scores = np.where(np.arange(300) < OBJECTS, 0.8, 0.1)
    boxes = places(rng, 300, 1)
    boxes[:, 2:] += boxes[:, :2]
    found = as_arrays(boxes=boxes, scores=scores)
    return {'labels': np.zeros((1, 300), np.int64), **found}


def rfdetr(masks: int) -> Outputs:
    """Logits of 91 classes; masks of so many cells a side."""

    def outputs(rng: Any) -> dict[str, Any]:
        logits = rng.normal(-5, 0.5, (300, 91))
        logits[:OBJECTS, 3] = 2
        found = {'dets': shares(rng, 300), 'labels': logits}
        if masks:
            coarse = rng.normal(0, 1, (300, masks // 12, masks // 12))
            found['masks'] = np.repeat(np.repeat(coarse, 12, axis=1), 12, axis=2)
        return as_arrays(**found)

    return outputs


def heads(priors: int, columns: int, rest: float, likely: float) -> Outputs:
    """Deltas and logits of a detector with prior boxes, `COUNT` of them likely."""

    def outputs(rng: Any) -> dict[str, Any]:
        logits = rng.normal(rest, 0.5, (priors, columns))
        if columns < 91:
            logits[:, 0] = 5
        chosen = rng.permutation(priors)[:COUNT]
        logits[chosen] = rest
        logits[chosen, rng.integers(1, columns, COUNT)] = likely
        deltas = rng.normal(0, 0.5, (priors, 4))
        return as_arrays(bbox_regression=deltas, cls_logits=logits)

    return outputs


def retinaface(rng: Any) -> dict[str, Any]:
    conf = np.tile([0.99, 0.01], (16800, 1))
    conf[rng.permutation(16800)[:COUNT]] = (0.1, 0.9)
    loc, landms = rng.normal(0, 1, (16800, 4)), rng.normal(0, 3, (16800, 10))
    return as_arrays(loc=loc, conf=conf, landms=landms)


def scrfd(rng: Any) -> dict[str, Any]:
    found = {}
    for stride in (8, 16, 32):
        count = 2 * (640 // stride) ** 2
        scores = rng.random((count, 1)) * 0.1
        scores[rng.permutation(count)[: COUNT // 3]] = 0.9
        found[f'score_{stride}'] = scores
        found[f'bbox_{stride}'] = rng.uniform(0.5, 3, (count, 4))
        found[f'kps_{stride}'] = rng.normal(0, 1, (count, 10))
    return as_arrays(**found)


def regions(channels: int, height: int, width: int, **others: int) -> Outputs:
    """Logits of a street: areas of one class with rough rims; auxiliary outputs likewise."""

    def logits(rng: Any, count: int) -> Any:
        coarse = rng.normal(0, 10, (count, 8, 16))
        planes = np.repeat(np.repeat(coarse, height // 8, axis=1), width // 16, axis=2)
        return planes + rng.normal(0, 0.3, planes.shape)

    def outputs(rng: Any) -> dict[str, Any]:
        more = {name: logits(rng, count) for name, count in others.items()}
        return as_arrays(out=logits(rng, channels), **more)

    return outputs


def vector(numbers: int) -> Outputs:
    def outputs(rng: Any) -> dict[str, Any]:
        return as_arrays(out=rng.normal(0, 1, numbers))

    return outputs


_SSD = {'boxes': 'deltas', 'activation': 'softmax'}
_FACE = {'options': {'activation': 'none'}, 'classes': 1}

MORE_CASES = [
    Case('rtdetr detect', 'rtdetr', 'detect', rtdetr, OBJECTS, resize='stretch'),
    Case('detr detect', 'detr', 'detect', detr, OBJECTS, resize='stretch'),
    Case('rfdetr detect', 'rfdetr', 'detect', rfdetr(0), OBJECTS, 91, resize='stretch'),
    Case('rfdetr instance', 'rfdetr', 'instance', rfdetr(108), OBJECTS, 91, resize='stretch'),
    Case(
        'ssd detect, ssd300',
        'ssd',
        'detect',
        heads(8732, 81, -3, 9),
        size=(300, 300),
        resize='stretch',
        options={**_SSD, 'priors': 'ssd300'},
    ),
    Case(
        'ssd detect, mobilenet_ssd',
        'ssd',
        'detect',
        heads(1917, 21, -3, 9),
        classes=20,
        size=(300, 300),
        resize='stretch',
        options={**_SSD, 'priors': 'mobilenet_ssd'},
    ),
    Case(
        'retinanet detect',
        'retinanet',
        'detect',
        heads(76725, 91, -6, 1),
        classes=91,
        options={'activation': 'sigmoid'},
    ),
    Case('retinaface face', 'retinaface', 'face', retinaface, **_FACE),
    Case('scrfd face', 'scrfd', 'face', scrfd, **_FACE),
    Case('arcface embed', 'arcface', 'embed', vector(512), 0, 0, (112, 112), 'stretch'),
    Case(
        'classify',
        'classify',
        'classify',
        vector(1000),
        0,
        1000,
        (224, 224),
        'centre_crop',
        {'activation': 'softmax'},
    ),
    Case(
        'semantic, FCN stride 1', 'semantic', 'semantic', regions(19, 512, 1024), 0, 19, (1024, 512)
    ),
    Case(
        'semantic, SegFormer stride 4',
        'semantic',
        'semantic',
        regions(19, 128, 256),
        0,
        19,
        (1024, 512),
    ),
    Case(
        'semantic, DDRNet stride 8',
        'semantic',
        'semantic',
        regions(19, 64, 128, aux=19),
        0,
        19,
        (1024, 512),
    ),
    Case(
        'semantic, UNet of one channel',
        'semantic',
        'semantic',
        regions(1, 512, 512),
        0,
        2,
        (512, 512),
        options={'activation': 'sigmoid'},
    ),
]
