"""Referees of the families that are not YOLO's: torchvision, PyTorch and Ultralytics' RT-DETR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from family_parity_referees import CLASSES, Referee, Theirs, scores
from torchvision.models.detection import (
    retinanet_resnet50_fpn,
    ssd300_vgg16,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.transforms import v2 as transforms
from ultralytics.models.rtdetr.predict import RTDETRPredictor

from trt_perception.decoding.registry import decoder_for
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.results import Classification, DecodeSettings, SegmentationMap
from trt_perception.tensor_spec import TensorSpec

EVERYTHING = 10**6


def referees() -> list[Referee]:
    """Rows of detectors."""
    found = []
    for name, make, size, count in (
        ('ssd300', ssd300_vgg16, (300, 300), 8732),
        ('ssdlite320', ssdlite320_mobilenet_v3_large, (320, 320), 3234),
    ):
        model = make(weights=None, weights_backbone=None, num_classes=CLASSES + 1)
        options = {'boxes': 'deltas', 'priors': name, 'activation': 'softmax'}
        outputs = heads(count, CLASSES + 1, 1.0, softmax=True)
        find = by_torchvision(model, size, first=1)
        found.append(
            Referee(
                'ssd',
                'detect',
                f'torchvision {name}',
                outputs,
                find,
                options,
                size=size,
                resize='stretch',
            )
        )
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES)
    found.append(
        Referee(
            'retinanet',
            'detect',
            'torchvision',
            heads(76725, CLASSES, 0.3, softmax=False),
            by_torchvision(model, (640, 640), first=0),
            {'activation': 'sigmoid'},
            resize='stretch',
        )
    )
    found.append(
        Referee('rtdetr', 'detect', 'Ultralytics', queries, by_rtdetr, {}, resize='stretch')
    )
    return found


def heads(
    count: int, columns: int, spread: float, *, softmax: bool
) -> Callable[[Any, str], dict[str, Any]]:
    """Deltas and logits, a hundred of which are likely."""

    def outputs(rng: Any, kind: str) -> dict[str, Any]:
        deltas = rng.normal(0, spread * (0.3 if kind == 'crowded' else 1), (count, 4))
        likely = scores(rng, kind, count, CLASSES) * 0.97 + 1e-4
        rare = rng.random((count, 1)) < (20 if kind == 'few' else 400) / count
        likely = np.where(rare | (likely > 0.3), likely, 1e-3)
        logits = np.log(likely / (1 - likely))
        if softmax:
            rest = np.maximum(1 - likely.sum(axis=1, keepdims=True), 0.02)
            logits = np.log(np.concatenate([rest, likely], axis=1))
        assert logits.shape[1] == columns
        return {
            'bbox_regression': deltas[None].astype(np.float32),
            'cls_logits': logits[None].astype(np.float32),
        }

    return outputs


def by_torchvision(model: Any, size: tuple[int, int], *, first: int) -> Callable[..., Theirs]:
    """The anchors and the `postprocess_detections` of a torchvision detector."""
    model.eval()
    image = torch.zeros(1, 3, size[1], size[0])
    with torch.no_grad():
        maps = model.backbone(image)
        maps = list(maps.values()) if isinstance(maps, dict) else [maps]
        anchors = model.anchor_generator(ImageList(image, [size[::-1]]), maps)
    shape = [size[::-1]]

    def find(outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings) -> Theirs:
        model.score_thresh, model.nms_thresh = settings.score, settings.iou
        model.detections_per_img, model.topk_candidates = EVERYTHING, EVERYTHING
        tensors = {name: torch.from_numpy(array) for name, array in outputs.items()}
        if first:
            (found,) = model.postprocess_detections(tensors, anchors, shape)
        else:
            cells = [int(np.prod(m.shape[-2:])) * 9 for m in maps]
            split = {name: list(t.split(cells, dim=1)) for name, t in tensors.items()}
            levels = [list(anchors[0].split(cells))]
            (found,) = model.postprocess_detections(split, levels, shape)
        boxes = letterbox.to_source(found['boxes'].numpy())
        # Boxes without any area in the image are left out here, kept there.
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        chosen = np.flatnonzero(solid)[: settings.max_detections]
        labels = found['labels'].numpy()[chosen] - first
        return Theirs(boxes[chosen], found['scores'].numpy()[chosen], labels)

    return find


def queries(rng: Any, kind: str) -> dict[str, Any]:
    """RT-DETR's rows, by falling score."""
    centres, extents = rng.random((300, 2)), rng.random((300, 2)) * 0.3
    if kind == 'equal sizes':
        extents[:] = 0.1
    score = np.sort(rng.random((300, 1)), axis=0)[::-1] * (0.3 if kind == 'few' else 1)
    labels = rng.integers(0, CLASSES, (300, 1))
    rows = np.concatenate([centres, extents, score, labels], axis=1)
    return {'output0': rows[None].astype(np.float32)}


def by_rtdetr(outputs: dict[str, Any], letterbox: Letterbox, settings: DecodeSettings) -> Theirs:
    """Ultralytics' RTDETRPredictor.postprocess, with what it reads of itself."""
    predictor = SimpleNamespace(
        args=SimpleNamespace(conf=settings.score, classes=None, max_det=settings.max_detections),
        batch=[['image']],
        model=SimpleNamespace(names=dict(enumerate('abcde'))),
    )
    width, height = letterbox.source
    picture = np.zeros((height, width, 3), np.uint8)
    preds = torch.from_numpy(outputs['output0'])
    (result,) = RTDETRPredictor.postprocess(predictor, preds, None, [picture])
    boxes = np.clip(result.boxes.xyxy.numpy(), 0, (width, height) * 2)
    return Theirs(boxes, result.boxes.conf.numpy(), result.boxes.cls.numpy().astype(int))


def image_rows(cases: int) -> list[dict[str, Any]]:
    """Rows of maps, classes and preprocessing."""
    found = [maps_row(stride, cases) for stride in (1, 4, 8)]
    return [*found, classes_row(cases), crop_row(cases)]


def _row(family: str, referee: str, cases: int) -> dict[str, Any]:
    counts = dict.fromkeys(('objects', 'equal', 'at_the_limit', 'unequal'), 0)
    more = {'lowest_iou': 1.0, 'score_difference': 0.0, 'more': ''}
    return {'family': family, 'referee': referee, 'outputs': cases, **counts, **more}


def _spec(family: str, task: Any, size: tuple[int, int], count: int, **options: Any) -> ModelSpec:
    return ModelSpec(
        name='model',
        onnx=Path('model.onnx'),
        family=family,
        task=task,
        input=InputSpec(size=size),
        classes=tuple(ClassSpec(name=str(i)) for i in range(count)),
        options=options,
    )


def maps_row(stride: int, cases: int) -> dict[str, Any]:
    """Logits upsampled by interpolate(bilinear), the highest class of each pixel."""
    size = (256, 128)
    row = _row(f'semantic stride {stride}', 'PyTorch interpolate, argmax', cases)
    letterbox, worst = Letterbox.fit(size, size), 0.0
    for case in range(cases):
        rng = np.random.default_rng(case)
        logits = rng.normal(0, 1, (1, 19, size[1] // stride, size[0] // stride)).astype('f4')
        spec = _spec('semantic', 'semantic', size, 19)
        decoder = decoder_for(spec, [TensorSpec('out', logits.dtype, logits.shape)])
        (mine,) = decoder.decode({'out': logits}, [letterbox], DecodeSettings())
        assert isinstance(mine, SegmentationMap)
        planes = torch.nn.functional.interpolate(
            torch.from_numpy(logits), size=size[::-1], mode='bilinear', align_corners=False
        )[0]
        second, first = planes.topk(2, dim=0).values.flip(0)
        differ = mine.class_ids != planes.argmax(dim=0).numpy()
        worst = max(worst, float(differ.mean()))
        sure = bool((differ & ((first - second).numpy() > 1e-4)).any())
        row['unequal' if sure else 'equal'] += 1
        row['objects'] += differ.size
    row['more'] = f'pixels; share that differs {worst:.1e}, all within 1e-4 of a tie'
    row['passed'] = row['unequal'] == 0
    return row


def classes_row(cases: int) -> dict[str, Any]:
    """Softmax and topk."""
    row = _row('classify', 'PyTorch softmax, topk', cases)
    square = Letterbox.fit((224, 224), (224, 224))
    spec = _spec('classify', 'classify', (224, 224), 1000, activation='softmax')
    decoder = decoder_for(spec, [TensorSpec('out', np.dtype('f4'), (-1, 1000))])
    for case in range(cases):
        logits = np.random.default_rng(case).normal(0, 3, (1, 1000)).astype(np.float32)
        (mine,) = decoder.decode({'out': logits}, [square], DecodeSettings())
        assert isinstance(mine, Classification)
        theirs = torch.from_numpy(logits).softmax(dim=1).topk(5)
        equal = mine.class_ids.tolist() == theirs.indices[0].tolist()
        apart = float(np.abs(mine.scores - theirs.values[0].numpy()).max())
        row['equal' if equal and apart < 1e-4 else 'unequal'] += 1
        row['score_difference'] = max(row['score_difference'], apart)
        row['objects'] += 5
    row['passed'] = row['unequal'] == 0
    return row


def crop_row(cases: int) -> dict[str, Any]:
    """Resize(256) without antialiasing, CenterCrop(224), of smooth pictures of many sizes."""
    row = _row('centre_crop 256, 224', 'torchvision Resize, CenterCrop', cases)
    theirs = transforms.Compose(
        [transforms.Resize(256, antialias=False), transforms.CenterCrop(224)]
    )
    spec = InputSpec(size=(224, 224), resize='centre_crop', shorter_side=256, scale=(1.0,) * 3)
    preprocess, out = Preprocessor(spec), np.empty((3, 224, 224), np.float32)
    most = 0.0
    for case in range(cases):
        rng = np.random.default_rng(case)
        extent = tuple(rng.integers(200, 900, 2).tolist())
        coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, 12, 12)).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, size=extent, mode='bicubic')
        image = smooth.clamp(0, 255).round().to(torch.uint8)[0]
        preprocess(np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0)), out)
        apart = float(np.abs(out - theirs(image).numpy().astype(np.float32)).max())
        row['equal' if apart <= 1 else 'unequal'] += 1
        most = max(most, apart)
    row['more'] = f'grey levels apart at most {most:.0f}'
    row['passed'] = row['unequal'] == 0
    return row
