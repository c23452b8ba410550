"""Runs inside the environment of cpu_stages.py: times and compares the stages of both sides."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional
import ultralytics
from ultralytics.engine.predictor import BasePredictor
from ultralytics.utils.nms import TorchNMS, non_max_suppression
from ultralytics.utils.ops import process_mask, process_mask_native, scale_boxes, scale_masks

from trt_perception.decoding.instance_masks import instance_masks
from trt_perception.decoding.registry import decoder_for
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.results import DecodeSettings, Detections
from trt_perception.tensor_spec import TensorSpec

try:
    import torchvision
except (ImportError, RuntimeError):  # the latter where it was built for another PyTorch
    torchvision = None

FULL_HD = (1920, 1080)
NETWORK = (640, 640)
LETTERBOX = Letterbox.fit(FULL_HD, NETWORK)
CLASSES, ANCHORS, OBJECTS, PER_OBJECT = 80, 8400, 30, 10
SETTINGS = DecodeSettings(score=0.25, iou=0.6, max_detections=300)
FLOAT = np.dtype(np.float32)
LONGEST_S = 8.0
"""Stages that take longer in all their rounds end early."""


class Report:
    """Rows of the table, lines of the checks, and what failed."""

    def __init__(self, threads: int, rounds: int) -> None:
        self.threads, self.rounds = threads, rounds
        self.rows: list[dict[str, Any]] = []
        self.checks: list[str] = []
        self.failed: list[str] = []

    def time(
        self,
        stage: str,
        ours: Callable[[], Any],
        theirs: Callable[[], Any],
        target: float | None = None,
    ) -> None:
        """Add a row; rounds alternate, so that both sides see the same disturbances."""
        times: tuple[list[float], list[float]] = ([], [])
        for side in (ours, theirs):
            for _ in range(3):
                side()
        begin = time.perf_counter()
        while len(times[0]) < self.rounds:
            for side, spent in zip((ours, theirs), times, strict=True):
                start = time.perf_counter()
                side()
                spent.append((time.perf_counter() - start) * 1e3)
            if time.perf_counter() - begin > LONGEST_S and len(times[0]) >= 10:
                break
        medians = [statistics.median(spent) for spent in times]
        fastest = [min(spent) for spent in times]
        # On a machine with other work, threads that wait for each other suffer most. Take the
        # measure that is kinder to the partner.
        ratio = min(medians[1] / medians[0], fastest[1] / fastest[0])
        self.rows.append(
            {
                'stage': stage,
                'median_ms': medians,
                'fastest_ms': fastest,
                'ratio': ratio,
                'target': target,
            }
        )
        if target and ratio < target:
            self.failed.append(f'{stage}, {self.threads} threads: {ratio:.2f} < {target}')

    def check(self, line: str, holds: bool) -> None:
        """Add a line on whether both sides agree."""
        self.checks.append(line)
        if not holds:
            self.failed.append(f'{self.threads} threads: {line}')

    def document(self) -> dict[str, Any]:
        libraries = {
            'Ultralytics': ultralytics.__version__,
            'PyTorch': torch.__version__,
            'torchvision': torchvision.__version__ if torchvision else 'does not load here',
            'OpenCV': cv2.__version__,
            'NumPy': np.__version__,
        }
        versions = ', '.join(f'{name} {version}' for name, version in libraries.items())
        return {
            'threads': self.threads,
            'rounds': self.rounds,
            'versions': versions,
            'rows': self.rows,
            'checks': self.checks,
            'failed': self.failed,
        }


def main(threads: int, rounds: int) -> None:
    """Measure everything with so many threads and print one line of JSON."""
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    report = Report(threads, rounds)
    preprocessing(report)
    detection(report)
    masks(report)
    semantic(report)
    print(json.dumps(report.document()))


def preprocessing(report: Report) -> None:
    """Image to network input, as with a network of fixed size (640x640)."""
    preprocess = Preprocessor(InputSpec(size=NETWORK))
    planes = Preprocessor(InputSpec(size=NETWORK, scale=(1.0, 1.0, 1.0)), np.uint8)
    predictor = partner_predictor()
    out = np.empty((1, 3, *NETWORK[::-1]), np.float32)
    bytes_out = np.empty((3, *NETWORK[::-1]), np.uint8)
    for width, height in (FULL_HD, (1280, 720), (640, 480)):
        image = picture(width, height)
        size = f'{width}x{height} to 640x640'
        report.time(
            f'image to tensor, {size}',
            lambda image=image: preprocess(image, out[0]),
            lambda image=image: predictor.preprocess([image]),
            2.0 if (width, height) == FULL_HD else None,
        )
        report.time(
            f'resize and pad alone, {size} (here with channels first)',
            lambda image=image: planes(image, bytes_out),
            lambda image=image: predictor.pre_transform([image]),
        )
        preprocess(image, out[0])
        difference = np.abs(out - predictor.preprocess([image]).numpy()).max() * 255
        report.check(f'tensors of {size} differ by {difference:.3f} grey levels', difference < 1)


def partner_predictor() -> Any:
    """Ultralytics' predictor as far as it prepares images; it needs no network for that."""
    predictor = BasePredictor.__new__(BasePredictor)
    predictor.device = torch.device('cpu')
    predictor.imgsz = list(NETWORK[::-1])
    predictor.args = SimpleNamespace(rect=False)
    predictor.scale_fill = False
    predictor.model = SimpleNamespace(
        fp16=False, stride=32, pt=False, format='onnx', dynamic=False, imx=False
    )
    return predictor


def detection(report: Report) -> None:
    """Raw output to boxes in source pixels."""
    decoder = decoder_for(model('detect', CLASSES), [TensorSpec('output0', FLOAT, (1, 84, -1))])
    for crowd, target in ((False, 3.0), (True, None)):
        output = raw_output(0, crowd=crowd)
        tensor = torch.from_numpy(output)
        kind = 'all of one class' if crowd else f'{CLASSES} classes'
        stage = f'decode and suppress [84, 8400], {OBJECTS * PER_OBJECT} candidates, {kind}'

        def ours(output: Any = output) -> Detections:
            return decoder.decode({'output0': output}, [LETTERBOX], SETTINGS)[0]

        def theirs(tensor: Any = tensor) -> Any:
            return partner_boxes(tensor, LETTERBOX)

        if torchvision:
            report.time(f'{stage}, torchvision', ours, theirs, target)
        with suppression('without torchvision'):
            report.time(f'{stage}, its own suppression', ours, theirs, target)
        with suppression('free'):
            report.time('... if its suppression took no time at all', ours, theirs)
    sizes = (FULL_HD, (1280, 720), (640, 480), (720, 1280), (500, 500))
    seeds = range(20)
    compare_boxes(report, decoder, [(seed, size) for seed in seeds for size in sizes])


def partner_boxes(tensor: Any, letterbox: Letterbox) -> Any:
    (found,) = non_max_suppression(
        tensor, SETTINGS.score, SETTINGS.iou, max_det=SETTINGS.max_detections, nc=CLASSES
    )
    found[:, :4] = scale_boxes(NETWORK[::-1], found[:, :4], letterbox.source[::-1])
    return found


@contextmanager
def suppression(kind: str) -> Any:
    """Ultralytics takes torchvision's suppression where it is loaded, else its own.

    'without torchvision' hides it. 'free' moreover remembers the first answer, which bounds what
    any other suppression could reach.
    """
    module, own = sys.modules.pop('torchvision', None), TorchNMS.nms
    answers: list[Any] = []

    def remembered(*arguments: Any) -> Any:
        if not answers:
            answers.append(own(*arguments))
        return answers[0]

    if kind == 'free':
        TorchNMS.nms = staticmethod(remembered)
    try:
        yield
    finally:
        TorchNMS.nms = staticmethod(own)
        if module:
            sys.modules['torchvision'] = module


def compare_boxes(report: Report, decoder: Any, cases: list[tuple[int, tuple[int, int]]]) -> None:
    count, worst_iou, worst_score, same = 0, 1.0, 0.0, True
    for seed, size in cases:
        output = raw_output(seed, crowd=bool(seed % 2))
        letterbox = Letterbox.fit(size, NETWORK)
        ours = decoder.decode({'output0': output}, [letterbox], SETTINGS)[0]
        theirs = partner_boxes(torch.from_numpy(output), letterbox).numpy()
        # Boxes without area in the image are no objects here.
        theirs = theirs[(theirs[:, 2] > theirs[:, 0]) & (theirs[:, 3] > theirs[:, 1])]
        same &= len(ours) == len(theirs) and bool((ours.class_ids == theirs[:, 5]).all())
        if same:
            count += len(ours)
            worst_iou = min(worst_iou, float(paired_iou(ours.boxes, theirs[:, :4]).min()))
            worst_score = max(worst_score, float(np.abs(ours.scores - theirs[:, 4]).max()))
    report.check(
        f'{count} boxes of {len(cases)} random outputs, five image sizes: same number and '
        f'classes: {same}, lowest IoU {worst_iou:.4f}, largest difference of scores '
        f'{worst_score:.1e}',
        same and worst_iou > 0.99 and worst_score < 1e-4,
    )


def masks(report: Report) -> None:
    """Twenty masks of 100 to 300 network pixels' extent at 1920x1080."""
    rng = np.random.default_rng(0)
    prototypes = np.stack([waves(rng, 160, 160) for _ in range(32)])
    coefficients = rng.standard_normal((20, 32)).astype(np.float32)
    extent = rng.uniform((100, 60), (300, 200), (20, 2))
    corner = rng.random((20, 2)) * (np.array([640, 360]) - extent) + [0, 140]
    boxes = np.concatenate([corner, corner + extent], axis=1).astype(np.float32)
    tensors = [torch.from_numpy(array) for array in (prototypes, coefficients, boxes)]
    source = torch.from_numpy(LETTERBOX.to_source(boxes))
    frame = Detections(source.numpy(), boxes[:, 0], boxes[:, 0].astype(int), FULL_HD)

    def ours() -> Any:
        return instance_masks(prototypes, coefficients, boxes, LETTERBOX)

    def ours_in_one_image() -> Any:
        return Detections(**{**vars(frame), 'masks': ours()}).id_image()

    def native() -> Any:
        return process_mask_native(tensors[0], tensors[1], source, FULL_HD[::-1])

    def scaled() -> Any:
        small = process_mask(*tensors, NETWORK[::-1], upsample=True)
        return scale_masks(small[None], FULL_HD[::-1])[0] > 0.5

    report.time('20 masks to 1920x1080, retina_masks (the same masks)', ours, native, 3)
    report.time('... here with the mono16 image of all of them', ours_in_one_image, native)
    report.time('... their default: at 640x640, then scaled to the source', ours, scaled, 3)
    mine = [in_whole(mask) for mask in ours()]
    for name, stack in (('retina_masks', native()), ('their default', scaled())):
        pairs = list(zip(mine, stack.numpy() > 0, strict=True))
        ious = [(np.sum(a & b) + 1e-9) / (np.sum(a | b) + 1e-9) for a, b in pairs]
        # Whether a pixel that the box's rim cuts belongs to the box is decided differently.
        rim = [inner(box) for box in source.numpy()]
        inside = np.mean(
            [np.mean(a[cut] != b[cut]) for (a, b), cut in zip(pairs, rim, strict=True)]
        )
        line = f'masks and {name}: mean IoU {np.mean(ious):.4f}, lowest {min(ious):.4f}; '
        line += (
            f'within the boxes but for one pixel along the rim {inside:.1e} of the pixels differ'
        )
        report.check(line, name != 'retina_masks' or (min(ious) > 0.95 and inside < 1e-4))


def in_whole(mask: Any) -> Any:
    whole = np.zeros(FULL_HD[::-1], bool)
    height, width = mask.bits.shape
    whole[mask.y : mask.y + height, mask.x : mask.x + width] = mask.bits
    return whole


def inner(box: Any) -> tuple[slice, slice]:
    x1, y1 = np.ceil(box[:2]).astype(int) + 1
    x2, y2 = np.floor(box[2:]).astype(int) - 1
    return slice(y1, y2), slice(x1, x2)


def semantic(report: Report) -> None:
    """Logits to the class of each source pixel; the partner is plain PyTorch."""
    rng = np.random.default_rng(0)
    network = (640, 384)
    letterbox = Letterbox.fit(FULL_HD, network)
    for stride in (4, 1):
        width, height = network[0] // stride, network[1] // stride
        logits = np.stack([waves(rng, height, width) for _ in range(13)])[None]
        top = letterbox.offset[1] // stride
        tensor = torch.from_numpy(logits)[..., top : height - top, :]
        decoder = decoder_for(model('semantic', 13), [TensorSpec('logits', FLOAT, logits.shape)])

        def ours(decoder: Any = decoder, logits: Any = logits) -> Any:
            return decoder.decode({'logits': logits}, [letterbox], SETTINGS)[0].class_ids

        def theirs(tensor: Any = tensor) -> Any:
            size = FULL_HD[::-1]
            large = torch.nn.functional.interpolate(tensor, size, mode='bilinear')
            return large.argmax(1).byte()

        report.time(
            f'13 classes at {width}x{height} to 1920x1080 (PyTorch: interpolate, argmax)',
            ours,
            theirs,
        )
        differing = float(np.mean(ours() != theirs()[0].numpy()))
        report.check(f'semantic maps differ in {differing:.1e} of the pixels', differing < 1e-3)


def model(task: Any, classes: int) -> ModelSpec:
    return ModelSpec(
        name='benchmark',
        onnx=Path('benchmark.onnx'),
        family='semantic' if task == 'semantic' else 'yolov8',
        task=task,
        input=InputSpec(size=NETWORK),
        classes=tuple(ClassSpec(name=str(index)) for index in range(classes)),
    )


def picture(width: int, height: int) -> Any:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def raw_output(seed: int, *, crowd: bool) -> Any:
    """float32 [1, 84, 8400]: 30 objects, each found by 10 anchors, and 8100 silent anchors."""
    rng = np.random.default_rng(seed)
    output = np.zeros((1, 4 + CLASSES, ANCHORS), np.float32)
    output[0, :2] = rng.random((2, ANCHORS)) * 640
    output[0, 2:4] = rng.random((2, ANCHORS)) * 200 + 5
    output[0, 4:] = rng.random((CLASSES, ANCHORS)) ** 8 * 0.2
    anchors = rng.choice(ANCHORS, (OBJECTS, PER_OBJECT), replace=False)
    for group in anchors:
        size = rng.uniform(30, 150, 2)
        box = np.concatenate([rng.uniform(160, 480, 2), size])
        jitter = rng.standard_normal((PER_OBJECT, 4)) * size.mean() * 0.04
        output[0, :4, group] = box + jitter
        output[0, 4 if crowd else 4 + rng.integers(CLASSES), group] = rng.uniform(0.3, 0.95, 10)
    return output


def waves(rng: np.random.Generator, height: int, width: int) -> Any:
    """float32 [height, width] that changes sign every few dozen pixels, as logits do."""
    noise = rng.standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), height / 16)
    return smooth / smooth.std() * 3


def paired_iou(one: Any, other: Any) -> Any:
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared)
