"""An evaluation as a JSON document, and the tables that are made of it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from trt_perception.building.onnx_graph import graph_digest
from trt_perception.evaluation.class_mapping import ClassMapping
from trt_perception.evaluation.dataset import Dataset
from trt_perception.evaluation.measuring import Evaluation, Measured
from trt_perception.evaluation.networks import AS_IT_IS, EMULATED
from trt_perception.model_spec import ModelSpec

FORMAT = 'trt_perception.evaluation'
VERSION = 1
"""Counts up when a reader of the document would have to change."""

Document = dict[str, Any]

FIGURES = (
    ('boxes', 'map50_95', 'box mAP50-95'),
    ('boxes', 'map50', 'box mAP50'),
    ('masks', 'map50_95', 'mask mAP50-95'),
    ('masks', 'map50', 'mask mAP50'),
    ('semantic', 'miou', 'class mIoU'),
    ('semantic', 'category_miou', 'category mIoU'),
    ('semantic', 'pixel_accuracy', 'pixel accuracy'),
)
"""Where a figure stands in `accuracy`, and what it is called."""

EMULATION_NOTE = (
    'fp16 and int8 by onnxruntime: the graph that TensorRT would get, with the roundings of '
    'float16. Their accuracy counts; their latency and memory say nothing about TensorRT.'
)
_LIBRARIES = ('numpy', 'onnx', 'onnxruntime', 'opencv-python-headless', 'faster-coco-eval')


def document_of(
    spec: ModelSpec,
    dataset: Dataset,
    classes: ClassMapping,
    evaluation: Evaluation,
    *,
    threads: int | None,
) -> Document:
    """Everything that was measured, as JSON; docs/evaluation.md describes it."""
    reference = _reference(evaluation.measured)
    return {
        'format': FORMAT,
        'version': VERSION,
        'model': spec.name,
        'task': spec.task,
        'onnx_sha256': graph_digest(spec.onnx),
        'dataset': dataset.name,
        'images': evaluation.images,
        'skipped': [{'image': name, 'reason': reason} for name, reason in evaluation.skipped],
        'classes': list(classes.names),
        'not_judged': {
            'only_in_dataset': list(classes.dataset_only),
            'only_in_model': list(classes.model_only),
        },
        'machine': {
            'processor': platform.machine(),
            'cpus': os.cpu_count(),
            'threads': threads,
            'python': platform.python_version(),
            'load_average': {
                'begin': round(evaluation.load.begin, 2),
                'end': round(evaluation.load.end, 2),
            },
            'others_cpus': round(evaluation.load.others_cpus, 2),
            'busy': evaluation.load.busy,
        },
        'libraries': {name: version for name in _LIBRARIES if (version := _version(name))},
        'networks': [_network(measured, reference) for measured in evaluation.measured],
    }


def _reference(measured: Sequence[Measured]) -> dict[str, Any] | None:
    """Accuracy of the float32 network that losses are counted from.

    That is the ONNX file as it is where it was measured, or else the first in fp32.
    """
    found = [m for m in measured if m.network.precision == 'fp32']
    found.sort(key=lambda m: m.network.how != AS_IT_IS)
    return found[0].accuracy if found else None


def _network(measured: Measured, reference: dict[str, Any] | None) -> Document:
    network = measured.network
    frame = np.array(measured.frame_ms)
    return {
        'precision': network.precision,
        'backend': network.backend,
        'how': network.how,
        'accuracy': measured.accuracy,
        'loss': _losses(reference, measured.accuracy) if reference is not None else {},
        'frame_ms': _percentiles(measured.frame_ms),
        'infer_ms': _percentiles(measured.infer_ms),
        'throughput_hz': round(1000 / float(frame.mean()), 2),
        'file_bytes': network.file_bytes,
        'memory_bytes': network.memory_bytes,
        'int8_share': round(network.int8_share, 4),
        'float_nodes': network.float_nodes,
        'calibration': network.calibration,
        'verified': network.verified,
        'confusion': measured.confusion.tolist(),
    }


def _losses(reference: dict[str, Any], accuracy: dict[str, Any]) -> dict[str, float]:
    """Points, hundredths, by which a figure is below that of fp32; negative where it is above."""
    losses = {}
    for part, key, _ in FIGURES:
        before, after = reference.get(part, {}).get(key), accuracy.get(part, {}).get(key)
        if before is not None and after is not None:
            losses[f'{part}.{key}'] = round(100 * (before - after), 3) + 0.0
    return losses


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, (50, 99))
    return {'p50': round(float(p50), 3), 'p99': round(float(p99), 3)}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ''


def label_of(document: Document, network: Document) -> str:
    """The precision, with the backend where there are several."""
    several = len({entry['backend'] for entry in document['networks']}) > 1
    return f'{network["precision"]} {network["backend"]}' if several else str(network['precision'])


def summary_rows(document: Document) -> list[tuple[str, ...]]:
    """A heading and one row a network: accuracy in points, loss, speed and size."""
    networks = document['networks']
    parts = networks[0]['accuracy']
    shown = [(p, k, title) for p, k, title in FIGURES if p in parts]
    losses = any(network['loss'] for network in networks)
    heading = ['precision']
    for _, _, title in shown:
        heading += [title, 'loss'] if losses else [title]
    doubt = ' (busy)' if document['machine']['busy'] else ''
    heading += [f'{title}{doubt}' for title in ('p50 ms', 'p99 ms', 'frames/s')]
    heading += ['file MB', 'memory MB', 'int8']
    rows = [tuple(heading)]
    for network in networks:
        row = [label_of(document, network)]
        for part, key, _ in shown:
            row.append(points(network['accuracy'][part][key]))
            if losses:
                loss = network['loss'].get(f'{part}.{key}')
                # Adding 0 takes the sign from what is rounded to zero.
                row.append('-' if loss is None else f'{round(loss, 2) + 0.0:.2f}')
        frame = network['frame_ms']
        row += [f'{frame["p50"]:.1f}', f'{frame["p99"]:.1f}', f'{network["throughput_hz"]:.1f}']
        row += [f'{network[key] / 1e6:.2f}' for key in ('file_bytes', 'memory_bytes')]
        row.append(f'{network["int8_share"]:.1%}' if network['precision'] == 'int8' else '-')
        rows.append(tuple(row))
    return rows


def class_rows(document: Document, part: str, group: str = 'by_class') -> list[tuple[str, ...]]:
    """A heading and one row a class (or category), one column a network, in points."""
    networks = document['networks']
    tables = [network['accuracy'][part][group] for network in networks]
    heading = (group.removeprefix('by_'), *(label_of(document, n) for n in networks))
    return [heading, *((name, *(points(t[name]) for t in tables)) for name in tables[0])]


def points(value: float | None) -> str:
    """A share of 0..1 in hundredths; '-' where there is nothing to tell."""
    return '-' if value is None else f'{100 * value:.2f}'


def notes(document: Document) -> list[str]:
    """What must be known to read the figures, one sentence or two each."""
    found = []
    machine = document['machine']
    if machine['busy']:
        load = machine['load_average']
        found.append(
            f'The machine was busy: other processes used {machine["others_cpus"]:.1f} of '
            f'{machine["cpus"]} CPUs; load average {load["begin"]:.1f} at the beginning, '
            f'{load["end"]:.1f} at the end. Latency and frames/s tell little, accuracy is as good.'
        )
    if any(network['how'] == EMULATED for network in document['networks']):
        found.append(EMULATION_NOTE)
    for network in document['networks']:
        if network['verified']:
            found.append(
                f'{label_of(document, network)} is {network["how"]}. Compared with float32 when '
                f'it was built: {network["verified"]}.'
            )
    found += [
        f'{label_of(document, network)} calibrated with {network["calibration"]}; '
        f'{len(network["float_nodes"])} weighted layers stay float.'
        for network in document['networks']
        if network['calibration']
    ]
    left_out = document['not_judged']
    if left_out['only_in_dataset']:
        found.append(f'Not judged, only in the data set: {", ".join(left_out["only_in_dataset"])}.')
    if left_out['only_in_model']:
        found.append(f'Not judged, only in the model: {", ".join(left_out["only_in_model"])}.')
    if document['skipped']:
        found.append(f'{len(document["skipped"])} images could not be used.')
    return found


def markdown_of(document: Document) -> str:
    """The whole report but for the confusion matrices."""
    lines = [
        f'# {document["model"]} on {document["dataset"]}',
        '',
        f'{document["images"]} images. Accuracy and loss against fp32 in points (hundredths). '
        f'Latency from image to results, one image at a time; '
        f'{document["machine"]["threads"] or "all"} of {document["machine"]["cpus"]} CPUs.',
        '',
        *_markdown_table(summary_rows(document)),
        '',
        *(f'- {note}' for note in notes(document)),
    ]
    for part in document['networks'][0]['accuracy']:
        for group in ('by_class', 'by_category'):
            if document['networks'][0]['accuracy'][part].get(group):
                lines += ['', f'## {part}, {group.replace("_", " ")}', '']
                lines += _markdown_table(class_rows(document, part, group))
    if document['skipped']:
        lines += ['', '## Images that could not be used', '']
        lines += [f'- {entry["image"]}: {entry["reason"]}' for entry in document['skipped']]
    return '\n'.join(lines) + '\n'


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = [[cell.replace('|', '\\|') for cell in row] for row in rows]
    rule = ['---', *('---:' for _ in head[1:])]
    return [f'| {" | ".join(row)} |' for row in (head, rule, *body)]
