"""What a model is: its family, task and key points, as stated or as its ONNX file tells them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trt_perception.errors import ModelFileError, ModelSpecError
from trt_perception.exporter_metadata import (
    key_point_names_of,
    key_point_shape_of,
    size_of,
    task_of,
)
from trt_perception.families import (
    BODY_POINTS,
    BODY_SKELETON,
    FACE_POINTS,
    FAMILIES,
    OTHER_NAMES,
)
from trt_perception.family_signatures import NOT_SERVED
from trt_perception.onnx_file import OnnxFile
from trt_perception.recognition import Candidate, recognise

if TYPE_CHECKING:
    from trt_perception.model_spec import ModelFile


def identified(path: Path, written: ModelFile, onnx_path: Path, onnx: OnnxFile) -> Candidate:
    """Family, task and options: as stated, else as the file's outputs tell them.

    Raises:
        ModelSpecError: a name is unknown, or neither says what the model is; the text asks.
    """
    stated = written.family or onnx.metadata.get('family')
    family = OTHER_NAMES.get(stated, stated) if stated else None
    if family is not None and family not in FAMILIES:
        raise ModelSpecError(
            f'{path}: unknown family {stated!r}{nearest(family, FAMILIES)}. '
            f'Known: {", ".join(FAMILIES)}'
        )
    task = written.task or task_of(onnx.metadata)
    served = FAMILIES[family] if family else tuple(t for each in FAMILIES.values() for t in each)
    if task is not None and task not in served:
        raise ModelSpecError(
            f'{path}: {f"family {family} does not do" if family else "there is no"} task '
            f'{task!r}; it does: {", ".join(dict.fromkeys(served))}'
        )
    names = onnx.class_names() if written.classes is None else written.classes
    known_task = next((each for each in served if each == task), None)
    told = recognise(
        onnx,
        family=family,
        task=known_task,
        classes=len(names) or None,
        size=written.input.size or size_of(onnx.metadata),
        counted_by_file=written.classes is None or _counts_as_file(onnx, len(names)),
    )
    if told.chosen is not None and told.chosen.family not in NOT_SERVED:
        return _with_key_points(told.chosen, onnx)
    if family is not None:
        # The family's own decoder says best what does not fit.
        return _with_key_points(Candidate(family, known_task or FAMILIES[family][0], ''), onnx)
    remedy = (
        f'Write a YAML file with `onnx: {onnx_path.name}` and `family: NAME` beside it and use that'
        if path.suffix == '.onnx'
        else 'Add `family: NAME`'
    )
    raise ModelSpecError(
        f'{path}: `family` is stated neither here nor in the metadata of {onnx_path}, and '
        f'{told.question()}. {remedy}; families: {", ".join(FAMILIES)}'
    )


def _counts_as_file(onnx: OnnxFile, classes: int) -> bool:
    """Whether the file names as many classes; it may name none."""
    return len(named_by_file(onnx)) == classes


def named_by_file(onnx: OnnxFile) -> tuple[str, ...]:
    """The file's class names; () where it has none that can be read."""
    try:
        return onnx.class_names()
    except ModelFileError:
        return ()


def _with_key_points(told: Candidate, onnx: OnnxFile) -> Candidate:
    """With what the exporter says of the key points."""
    shape = key_point_shape_of(onnx.metadata)
    if told.task != 'pose' or shape is None:
        return told
    return replace(told, key_points=shape[0], options={'key_point_shape': shape, **told.options})


def complete_key_points(
    written: ModelFile, onnx: OnnxFile, told: Candidate
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Names and skeleton: as stated, else as all models of the kind have them."""
    names = written.key_points or key_point_names_of(onnx.metadata)
    if told.task == 'face':
        return names or FACE_POINTS, written.skeleton
    people = told.task == 'pose' and told.key_points == len(BODY_POINTS)
    if people and named_by_file(onnx) == ('person',) and not written.key_points:
        return names or BODY_POINTS, written.skeleton or BODY_SKELETON
    return names, written.skeleton


def nearest(name: str, known: Iterable[Any]) -> str:
    """A question about the most similar name, or ''."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f' (did you mean {near[0]!r}?)' if near else ''
