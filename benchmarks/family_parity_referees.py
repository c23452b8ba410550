"""Runs inside the environment of family_parity.py: both sides on the same raw outputs.

A referee is a function that takes the raw outputs of one image and returns what its official
implementation finds there; `REFEREES` holds them all. To add one, write the function and what
makes its outputs.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cv2
import numpy as np
import shapely
import torch
import torchvision
import ultralytics
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import process_mask_native, scale_boxes, scale_coords

from trt_perception.decoding.registry import decoder_for
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections
from trt_perception.tensor_spec import TensorSpec

NETWORK = (640, 640)
ANCHORS = 8400
CLASSES = 5
SOURCES = ((1920, 1080), (1280, 720), (640, 480), (500, 500))
SETTINGS = DecodeSettings(score=0.25, iou=0.6, max_detections=300)
MASKED = DecodeSettings(score=0.25, iou=0.6, max_detections=40)
"""For instances: the referee draws every mask in the whole image."""
LIMIT = 0.0005
"""How far the referees' float32 may move an IoU."""


@dataclass
class Theirs:
    """What a referee found, as NumPy arrays in source pixels.

    Attributes:
        boxes: [N, 4], or [N, 5] rotated.
        scores, class_ids: [N].
        key_points: [N, K, 3], clipped to the image, or None.
        masks: bool [N, H, W], or None.
    """

    boxes: Any
    scores: Any
    class_ids: Any
    key_points: Any = None
    masks: Any = None


@dataclass
class Referee:
    """One row of the table."""

    family: str
    task: str
    name: str
    outputs: Callable[[Any, str], dict[str, Any]]
    find: Callable[[dict[str, Any], Letterbox, DecodeSettings], Theirs]
    options: dict[str, Any]
    classes: int = CLASSES
    size: tuple[int, int] = NETWORK
    resize: Literal['letterbox', 'stretch'] = 'letterbox'


def main(environment: str, cases: int, only: str) -> None:
    """Compare everything and print one line of JSON."""
    torch.set_num_threads(1)
    import family_parity_torchvision as more

    every = [*referees(Path(environment)), *more.referees()]
    rows = [run(r, cases) for r in every if r.family.startswith(only)]
    rows += [] if only else more.image_rows(cases)
    libraries = {
        'Ultralytics': ultralytics.__version__,
        'PyTorch': torch.__version__,
        'torchvision': torchvision.__version__,
        'NumPy': np.__version__,
        'OpenCV': cv2.__version__,
    }
    versions = ', '.join(f'{name} {version}' for name, version in libraries.items())
    print(json.dumps({'versions': versions, 'rows': rows}))


def run(referee: Referee, cases: int) -> dict[str, Any]:
    """Compare one family on so many raw outputs."""
    spec = ModelSpec(
        name='model',
        onnx=Path('model.onnx'),
        family=referee.family,
        task=referee.task,
        input=InputSpec(size=referee.size, resize=referee.resize),
        classes=tuple(ClassSpec(name=str(i)) for i in range(referee.classes)),
        options=referee.options,
    )
    row = {
        'family': f'{referee.family} {referee.task}',
        'referee': referee.name,
        **dict.fromkeys(('outputs', 'objects', 'equal', 'at_the_limit', 'unequal'), 0),
        **{'lowest_iou': 1.0, 'score_difference': 0.0, 'more': ''},
    }
    least: dict[str, float] = {}
    for case in range(cases):
        rng = np.random.default_rng(case)
        settings = MASKED if referee.task == 'instance' else SETTINGS
        letterbox = Letterbox.fit(SOURCES[case % 4], referee.size, referee.resize)
        outputs = referee.outputs(
            rng, ('scattered', 'crowded', 'equal sizes', 'few')[case // 4 % 4]
        )
        theirs = referee.find({n: a.copy() for n, a in outputs.items()}, letterbox, settings)
        verdicts = [
            Verdict.of(ours(spec, outputs, letterbox, replace(settings, iou=iou)), theirs)
            for iou in (settings.iou, settings.iou - LIMIT, settings.iou + LIMIT)
        ]
        row['outputs'] += 1
        best = next((v for v in verdicts if v.equal), None)
        if best is None:
            row['unequal'] += 1
            continue
        row['equal' if best is verdicts[0] else 'at_the_limit'] += 1
        row['objects'] += best.objects
        row['lowest_iou'] = min(row['lowest_iou'], best.iou)
        row['score_difference'] = max(row['score_difference'], best.score)
        for what, value in best.more.items():
            least[what] = max(least.get(what, 0.0), value)
    row['more'] = ', '.join(f'{what} {value:.1e}' for what, value in least.items())
    row['passed'] = row['unequal'] == 0 and row['at_the_limit'] <= 0.05 * cases
    return row


def ours(
    spec: ModelSpec, outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings
) -> Detections:
    tensors = [TensorSpec(n, a.dtype, a.shape) for n, a in outputs.items()]
    (found,) = decoder_for(spec, tensors).decode(outputs, [letterbox], settings)
    return found


@dataclass
class Verdict:
    """How alike two results are."""

    equal: bool
    objects: int = 0
    iou: float = 1.0
    score: float = 0.0
    more: Any = None

    @classmethod
    def of(cls, mine: Detections, theirs: Theirs) -> Verdict:
        if len(mine) != len(theirs.scores):
            return cls(False)
        if not len(mine):
            return cls(True, more={})
        rotated = mine.rotated_boxes is not None
        boxes = mine.rotated_boxes if rotated else mine.boxes
        ious = (rotated_ious if rotated else upright_ious)(boxes, theirs.boxes)
        ious[mine.class_ids[:, None] != theirs.class_ids] = 0
        ious[np.abs(mine.scores[:, None] - theirs.scores) >= 1e-4] = 0
        partner = ious.argmax(axis=1)
        iou = ious[np.arange(len(mine)), partner]
        if len(set(partner.tolist())) < len(mine) or iou.min() <= 0.99:
            return cls(False)
        score = float(np.abs(mine.scores - theirs.scores[partner]).max())
        return cls(True, len(mine), float(iou.min()), score, _more(mine, theirs, partner))


def _more(mine: Detections, theirs: Theirs, partner: Any) -> dict[str, float]:
    more = {}
    if theirs.key_points is not None:
        width, height = mine.size
        points = mine.key_points.copy()
        points[..., 0] = points[..., 0].clip(0, width)
        points[..., 1] = points[..., 1].clip(0, height)
        apart = np.abs(points - theirs.key_points[partner])
        more['key points off by, pixels'] = float(apart[..., :2].max())
        more['their confidence by'] = float(apart[..., 2].max())
    if theirs.masks is not None:
        differ = 0.0
        for mask, box, other in zip(mine.masks, mine.boxes, theirs.masks[partner], strict=True):
            # Whether a pixel that the box's rim cuts belongs to the box is decided differently.
            x1, y1 = np.ceil(box[:2]).astype(int) + 1
            x2, y2 = np.floor(box[2:]).astype(int) - 1
            whole = np.zeros(other.shape, bool)
            rows, columns = mask.bits.shape
            whole[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.bits
            inner = (slice(y1, y2), slice(x1, x2))
            if whole[inner].size:
                differ = max(differ, float(np.mean(whole[inner] != other[inner])))
        more['share of mask pixels that differ within the box'] = differ
    return more


def upright_ious(one: Any, other: Any) -> Any:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (one, other)]
    return shared / (areas[0][:, None] + areas[1] - shared + 1e-12)


def rotated_ious(one: Any, other: Any) -> Any:
    """By polygons; only of pairs whose centres are near. OpenCV's own fails for equal ones."""
    ious = np.zeros((len(one), len(other)))
    near = np.abs(one[:, None, :2] - other[None, :, :2]).max(axis=2) < 2
    polygons = [[shapely.Polygon(rim(box)) for box in boxes] for boxes in (one, other)]
    for i, j in zip(*np.nonzero(near), strict=True):
        a, b = polygons[0][i], polygons[1][j]
        # On a grid, since edges that all but coincide may otherwise cross nowhere.
        shared = shapely.intersection(a, b, grid_size=1e-4).area
        ious[i, j] = shared / (a.area + b.area - shared)
    return ious


def rim(box: Any) -> Any:
    """float64 [4, 2], the corners of a rotated box."""
    x, y, width, height, angle = box.astype(float)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    return half @ [[cos, sin], [-sin, cos]] + (x, y)


# What the networks return


def boxes(rng: Any, kind: str, count: int) -> Any:
    """[count, 4], centre x, centre y, width, height; most anchors gather around objects."""
    objects = {'scattered': 60, 'crowded': 6, 'equal sizes': 40, 'few': 2}[kind]
    places = rng.random((objects, 4)) * (600, 320, 120, 120) + (20, 160, 16, 16)
    if kind == 'equal sizes':
        places[:, 2:] = 48
    chosen = rng.integers(0, objects, count)
    jitter = rng.normal(0, 0.06, (count, 4)) * places[chosen][:, [2, 3, 2, 3]]
    return places[chosen] + jitter


def scores(rng: Any, kind: str, count: int, classes: int) -> Any:
    """[count, classes] in 0..1, high for some hundred anchors."""
    low = rng.random((count, classes)) * 0.2
    high = rng.permutation(count)[: 20 if kind == 'few' else 400]
    low[high, rng.integers(0, classes, len(high))] = rng.random(len(high)) * 0.8 + 0.2
    return low


def dense8(extras: int, spread: float, shift: float = 0.0) -> Callable[[Any, str], dict[str, Any]]:
    """YOLOv8's layout."""

    def outputs(rng: Any, kind: str) -> dict[str, Any]:
        more = extra_numbers(rng, (ANCHORS, extras), spread, shift)
        rows = np.concatenate(
            [boxes(rng, kind, ANCHORS), scores(rng, kind, ANCHORS, CLASSES), more], axis=1
        )
        return with_prototypes(rng, {'output0': rows.T[None].astype(np.float32)}, extras)

    return outputs


def dense5(coefficients: int, classes: int = CLASSES) -> Callable[[Any, str], dict[str, Any]]:
    """YOLOv5's layout."""

    def outputs(rng: Any, kind: str) -> dict[str, Any]:
        rows = np.concatenate(
            [
                boxes(rng, kind, 25200),
                scores(rng, kind, 25200, 1) ** 0.5,
                scores(rng, 'few', 25200, classes) ** 0.2,
                rng.normal(0, 1, (25200, coefficients)),
            ],
            axis=1,
        )
        return with_prototypes(rng, {'output0': rows[None].astype(np.float32)}, coefficients)

    return outputs


def grid5(rng: Any, kind: str) -> dict[str, Any]:
    """YOLOX's layout, relative to the cells."""
    stride = np.repeat([8, 16, 32], [6400, 1600, 400])[:, None]
    cells = [
        np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) for n in (80, 40, 20)
    ]
    wanted = boxes(rng, kind, ANCHORS)
    rows = np.concatenate(
        [
            wanted[:, :2] / stride - np.concatenate(cells),
            np.log(np.maximum(wanted[:, 2:], 1) / stride),
            scores(rng, kind, ANCHORS, 1) ** 0.5,
            scores(rng, 'few', ANCHORS, CLASSES) ** 0.2,
        ],
        axis=1,
    )
    return {'output': rows[None].astype(np.float32)}


def chosen6(extras: int, *, rotated: bool = False) -> Callable[[Any, str], dict[str, Any]]:
    """The layout of YOLOv10 and YOLO26."""

    def outputs(rng: Any, kind: str) -> dict[str, Any]:
        found = boxes(rng, kind, 300)
        if not rotated:
            half = found[:, 2:] / 2
            found = np.concatenate([found[:, :2] - half, found[:, :2] + half], axis=1)
        score = np.sort(rng.random((300, 1)), axis=0)[::-1]
        class_id = rng.integers(0, CLASSES, (300, 1))
        more = extra_numbers(rng, (300, extras), *((80.0, 300.0) if extras == 51 else (1.0, 0.0)))
        rows = np.concatenate([found, score, class_id, more], axis=1)
        return with_prototypes(rng, {'output0': rows[None].astype(np.float32)}, extras)

    return outputs


def extra_numbers(rng: Any, shape: tuple[int, int], spread: float, shift: float) -> Any:
    """Coefficients, an angle, or key points with a confidence in 0..1."""
    more = rng.normal(shift, spread, shape)
    if shape[1] == 51:
        more[:, 2::3] = rng.random((shape[0], 17))
    return more


def with_prototypes(rng: Any, outputs: dict[str, Any], extras: int) -> dict[str, Any]:
    if extras == 32:
        coarse = rng.normal(0, 1, (32, 10, 10)).astype(np.float32)
        planes = [cv2.resize(plane, (160, 160), interpolation=cv2.INTER_CUBIC) for plane in coarse]
        outputs['output1'] = np.stack(planes)[None]
    return outputs


# The referees


def by_ultralytics(task: str, *, end2end: bool = False) -> Callable[..., Theirs]:
    """Ultralytics' non_max_suppression, with what its predictors do after it."""

    def find(outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings) -> Theirs:
        (found,) = non_max_suppression(
            torch.from_numpy(outputs['output0']),
            settings.score,
            settings.iou,
            max_det=settings.max_detections,
            nc=CLASSES,
            rotated=task == 'oriented',
            end2end=end2end,
        )
        return in_source(found, outputs, letterbox, task)

    return find


def in_source(found: Any, outputs: dict[str, Any], letterbox: Letterbox, task: str) -> Theirs:
    network, source = NETWORK[::-1], letterbox.source[::-1]
    scored = found[:, 4].numpy(), found[:, 5].numpy().astype(int)
    if task == 'oriented':
        rotated = torch.cat([found[:, :4], found[:, -1:]], dim=1)
        rotated[:, :4] = scale_boxes(network, rotated[:, :4], source, xywh=True)
        return Theirs(rotated.numpy(), *scored)
    extras = found[:, 6:]
    found[:, :4] = scale_boxes(network, found[:, :4], source)
    theirs = Theirs(found[:, :4].numpy(), *scored)
    if task == 'pose':
        theirs.key_points = scale_coords(network, extras.reshape(-1, 17, 3), source).numpy()
    if task == 'instance':
        prototypes = torch.from_numpy(outputs['output1'][0])
        theirs.masks = process_mask_native(prototypes, extras, found[:, :4], source).numpy() > 0
    return theirs


def by_yolov5(masks: int) -> Callable[..., Theirs]:
    """YOLOv5's non_max_suppression; the way back to the source is Ultralytics'."""
    from yolov5.utils.general import non_max_suppression as suppression

    def find(outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings) -> Theirs:
        (found,) = suppression(
            torch.from_numpy(outputs['output0']),
            settings.score,
            settings.iou,
            max_det=settings.max_detections,
            nm=masks,
        )
        return in_source(found, outputs, letterbox, 'instance' if masks else 'detect')

    return find


def by_yolox(package: Path) -> Callable[..., Theirs]:
    """YOLOX's demo_postprocess, which decodes, and its postprocess."""
    demo = loaded(package / 'yolox' / 'utils' / 'demo_utils.py')
    boxes_file = loaded(package / 'yolox' / 'utils' / 'boxes.py')

    def find(outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings) -> Theirs:
        decoded = demo.demo_postprocess(outputs['output'].copy(), NETWORK[::-1])
        (found,) = boxes_file.postprocess(
            torch.from_numpy(decoded), CLASSES, settings.score, settings.iou
        )
        if found is None:
            return Theirs(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
        found = torch.cat([found[:, :4], found[:, 4:5] * found[:, 5:6], found[:, 6:]], dim=1)
        return in_source(found[: settings.max_detections], outputs, letterbox, 'detect')

    return find


def loaded(path: Path) -> ModuleType:
    """A module by its file, without the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def referees(environment: Path) -> list[Referee]:
    """All rows of the table."""
    (yolox,) = [p for p in environment.glob('yolox-*') if p.is_dir()]
    ul, v5 = 'Ultralytics 8.4.190', 'YOLOv5 7.0.13'
    found = [
        Referee('yolov5', 'detect', v5, dense5(0), by_yolov5(0), {}),
        Referee('yolov5', 'instance', v5, dense5(32), by_yolov5(32), {}),
        Referee('yolov7', 'detect', f'{v5}, same formulas', dense5(0), by_yolov5(0), {}),
        Referee('yolox', 'detect', 'YOLOX 0.3.0', grid5, by_yolox(yolox), {}),
    ]
    dense = {
        'detect': (0, 1.0),
        'instance': (32, 1.0),
        'pose': (51, 80.0, 300.0),
        'oriented': (1, 2.0),
    }
    for task, extras in dense.items():
        found.append(Referee('yolov8', task, ul, dense8(*extras), by_ultralytics(task), {}))
        outputs = chosen6(extras[0], rotated=task == 'oriented')
        find = by_ultralytics(task, end2end=True)
        found.append(Referee('yolov10', task, ul, outputs, find, {}))
    return found
