"""What `inspect` says of an ONNX file as a model: family, task, classes, input, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trt_perception.errors import PerceptionError
from trt_perception.exporter_metadata import size_of, task_of
from trt_perception.families import FAMILIES
from trt_perception.family_signatures import NOT_SERVED
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.onnx_file import OnnxFile
from trt_perception.recognition import Recognition, recognise


def recognised(path: Path, file: OnnxFile) -> dict[str, Any]:
    """What the file is and whether it can stand for itself as a model.

    Args:
        path: of the ONNX file.
        file: what it says of itself.
    """
    try:
        names = file.class_names()
    except PerceptionError as error:
        return {'model': f'asks: {error}'}
    size = size_of(file.metadata) or file.input_size()
    task = next(
        (t for tasks in FAMILIES.values() for t in tasks if t == task_of(file.metadata)), None
    )
    told = recognise(
        file,
        family=file.metadata.get('family'),
        task=task,
        classes=len(names) or None,
        size=size,
    )
    extent = f'{size[0]}x{size[1]}' if size else 'any size'
    told_input = f'{file.layout or "no image"} {extent} {file.inputs[0].dtype}'
    try:
        spec = load_model_spec(path)
    except PerceptionError as error:
        return {'input': told_input, 'model': f'asks: {error}', **_guesses(told)}
    return {
        'input': told_input,
        **_facts(spec),
        'because': _reason(told, file),
        'model': f'complete: model:={path}',
    }


def _facts(spec: ModelSpec) -> dict[str, Any]:
    taken = spec.input
    mean, scale = (', '.join(f'{v:.6g}' for v in values) for values in (taken.mean, taken.scale))
    facts = {
        'family': spec.family,
        'task': spec.task,
        'classes': f'{len(spec.classes)}: {_shortened(spec.class_names)}',
        'normalisation': f'{taken.color_order}, (pixel - [{mean}]) * [{scale}], {taken.resize}',
    }
    if spec.key_points:
        facts['key points'] = f'{len(spec.key_points)}: {_shortened(spec.key_points)}'
    if spec.options:
        facts['options'] = ', '.join(f'{name} {value}' for name, value in spec.options.items())
    return facts


def _guesses(told: Recognition) -> dict[str, Any]:
    if not told.candidates:
        return {}
    rows = [
        {
            'family': 'none' if c.family in NOT_SERVED else c.family,
            'task': c.task,
            'classes': c.classes,
            'if': c.reason,
        }
        for c in told.candidates
    ]
    return {'candidates': rows}


def _reason(told: Recognition, file: OnnxFile) -> str:
    stated = [key for key in ('family', 'task', 'names', 'description') if key in file.metadata]
    said = f'metadata: {", ".join(stated)}' if stated else ''
    parts = [told.chosen.reason if told.chosen else '', said]
    return '; '.join(part for part in parts if part)


def _shortened(names: tuple[str, ...], most: int = 8) -> str:
    shown = ', '.join(names[:most])
    return f'{shown}, ...' if len(names) > most else shown
