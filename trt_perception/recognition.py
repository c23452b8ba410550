"""Tells what an ONNX file is: its family, task, class count and input layout, with the reason.

Families are told by the table `family_signatures`. Where several fit, none is taken: a wrong guess
is worse than a question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trt_perception.families import Task
from trt_perception.family_signatures import (
    MOST,
    MOST_CLASSES,
    SIGNATURES,
    USUAL_OBJECTS,
    USUAL_STRIDES,
    Output,
    Signature,
)
from trt_perception.onnx_file import OnnxFile
from trt_perception.shape_patterns import Bindings, bound
from trt_perception.tensor_spec import TensorSpec

_EXPORTERS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ('description', r'(?i)ultralytics .*rt-?detr', frozenset({'rtdetr'})),
    ('description', r'(?i)ultralytics .*yolo', frozenset({'yolov8', 'yolov10', 'classify'})),
)
"""Metadata key, what it says, and the families that this exporter writes then."""


@dataclass(frozen=True)
class Candidate:
    """What a file may be.

    Attributes:
        family, task: as in `families.FAMILIES`.
        reason: what the outputs are then, in words.
        classes: their number, None where the outputs do not tell.
        key_points: their number, None where there are none or the outputs do not tell.
        options: options of the family that the graph tells.
        evidence: 1 for shapes that fit, and more for names, metadata and counts that say the same.
    """

    family: str
    task: Task
    reason: str
    classes: int | None = None
    key_points: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    evidence: int = 1


@dataclass(frozen=True)
class Recognition:
    """What could be told of a file.

    Attributes:
        candidates: what it may be; of those with equal family and task only the first.
        asked: why nothing is chosen, in words; '' where something is.
    """

    candidates: tuple[Candidate, ...]
    asked: str = ''

    @property
    def chosen(self) -> Candidate | None:
        """What it is; None where that is not certain."""
        return None if self.asked else self.candidates[0]

    def question(self) -> str:
        """Why nothing is chosen and what the file may be, for an error text."""
        listed = '; '.join(f'{c.family} ({c.task}), if {c.reason}' for c in self.candidates)
        return f'{self.asked}: {listed}' if listed else self.asked


def recognise(
    file: OnnxFile,
    *,
    family: str | None = None,
    task: Task | None = None,
    classes: int | None = None,
    size: tuple[int, int] | None = None,
    counted_by_file: bool = True,
) -> Recognition:
    """Tell what a file is.

    Args:
        file: the file.
        family: the only one to consider, where it is known.
        task: likewise.
        classes: their number, where it is known.
        size: (width, height) of the input; None takes the file's.
        counted_by_file: whether `classes` is what the file itself says. A person may forget one,
            and the scores of a forgotten class must not be taken for an angle.
    """
    size = size or file.input_size()
    exporter = _families_of_exporter(file.metadata)
    fitting = [
        candidate
        for signature in SIGNATURES
        if family in (None, signature.family)
        and task in (None, signature.task)
        and (family is not None or exporter is None or signature.family in exporter)
        for candidate in _candidates(signature, file, classes, size)
    ]
    most = max((c.evidence for c in fitting), default=0)
    found: dict[tuple[str, Task], Candidate] = {}
    for candidate in fitting:
        if candidate.evidence == most:
            found.setdefault((candidate.family, candidate.task), candidate)
    candidates = tuple(found.values())
    if len(candidates) == 1:
        sure = counted_by_file or task is not None
        return Recognition(candidates, '' if sure else _doubt(file, candidates[0], size))
    return Recognition(candidates, _question(file, candidates, classes, size))


def _families_of_exporter(metadata: dict[str, str]) -> frozenset[str] | None:
    for key, said, families in _EXPORTERS:
        if re.search(said, metadata.get(key, '')):
            return families
    return None


def _question(
    file: OnnxFile,
    candidates: Sequence[Candidate],
    classes: int | None,
    size: tuple[int, int] | None,
) -> str:
    """Why nothing is chosen."""
    if candidates:
        return 'it may be one of several families'
    if classes is not None:
        others = recognise(file, size=size).candidates
        counts = [
            f'{c.family} ({c.task}) with {c.classes}' for c in others if c.classes is not None
        ]
        if counts:
            return (
                f'its outputs are not for the {classes} classes that are named, but perhaps for '
                + (' or '.join(counts))
            )
    return 'its outputs are those of no family that is known here'


def _doubt(file: OnnxFile, told: Candidate, size: tuple[int, int] | None) -> str:
    """Why a file may be a detector of other classes after all; '' if it cannot."""
    if told.task not in ('pose', 'oriented'):
        return ''
    detector = recognise(file, family=told.family, task='detect', size=size).chosen
    if detector is None:
        return ''
    return (
        f'with the {told.classes} classes that are named its outputs are those of {told.task}, '
        f'with {detector.classes} they are those of detect: state `task`, or name all classes'
    )


def _candidates(
    signature: Signature, file: OnnxFile, classes: int | None, size: tuple[int, int] | None
) -> Iterator[Candidate]:
    """At most one: what the file is if it has this signature."""
    if classes is not None and not signature.has_classes:
        return
    for known in _cells(size):
        if classes is not None and signature.has_classes and not signature.class_counts:
            known = {**known, 'C': classes}
        found = _assigned(signature, file.outputs, known)
        if found is None or not _plausible(signature, found, classes):
            continue
        count = found.get('C', classes)
        yield Candidate(
            signature.family,
            signature.task,
            f'{_listed(file.outputs)}: {signature.says.format_map(_Told(found))}',
            count if signature.has_classes else None,
            found.get('K'),
            _options(signature, file),
            _evidence(signature, file, known, found),
        )
        return


def _plausible(signature: Signature, found: Bindings, classes: int | None) -> bool:
    if any(found.get(symbol, 0) > most for symbol, most in MOST.items()):
        return False
    if signature.class_counts and classes is not None and classes not in signature.class_counts:
        return False
    return signature.task == 'classify' or found.get('C', 1) <= MOST_CLASSES


def _cells(size: tuple[int, int] | None) -> Iterator[dict[str, int]]:
    """Cells of the heads at the input's size, for each usual set of strides; {} if it is open."""
    if size is None:
        yield {}
        return
    width, height = size
    whole = {s: (width // s) * (height // s) for s in (4, 8, 16, 32, 64)}
    begun = {s: -(-width // s) * -(-height // s) for s in (4, 8, 16, 32, 64, 128)}
    fixed = {f'P{s}': begun[s] for s in (8, 16, 32)}
    fixed['R'] = sum(begun[s] for s in (8, 16, 32, 64, 128))
    totals = [
        sum(count[s] for s in strides) for strides in USUAL_STRIDES for count in (whole, begun)
    ]
    for total in dict.fromkeys(totals):
        yield {**fixed, 'A': total}


def _assigned(
    signature: Signature, outputs: Sequence[TensorSpec], known: Bindings
) -> Bindings | None:
    """What the symbols stand for if the outputs are those of the signature; None if not."""
    if not signature.outputs:
        left_over = all(
            any(bound(pattern, output.shape, {}) is not None for pattern in signature.beside)
            for output in outputs
        )
        return known if left_over else None
    wanted, *rest = signature.outputs
    remaining = _without_first(signature, tuple(rest))
    for index, output in enumerate(outputs):
        if not _takes(wanted, output, signature.named):
            continue
        found = bound(wanted.shape, output.shape, known)
        if found is None:
            continue
        others = [*outputs[:index], *outputs[index + 1 :]]
        further = _assigned(remaining, others, found)
        if further is not None:
            return further
    return None


def _without_first(signature: Signature, rest: tuple[Output, ...]) -> Signature:
    return Signature(
        signature.family, signature.task, rest, '', signature.named, beside=signature.beside
    )


def _takes(wanted: Output, output: TensorSpec, named: bool) -> bool:
    """Whether name and type of an output are those wanted."""
    if named and output.name.lower() not in wanted.names:
        return False
    return output.dtype.kind in wanted.kinds or output.dtype.kind == 'V'


def _evidence(signature: Signature, file: OnnxFile, known: Bindings, found: Bindings) -> int:
    """1, and one more for names or metadata, and for as many rows as the input has cells or as
    such models keep objects."""
    names = {output.name.lower() for output in file.outputs}
    named = all(names & set(output.names) for output in signature.outputs)
    told = signature.metadata and all(key in file.metadata for key in signature.metadata)
    open_cells = {symbol: value for symbol, value in known.items() if symbol != 'A'}
    cells = (_assigned(signature, file.outputs, open_cells) or {}).get('A')
    counted = cells is not None and cells == known.get('A')
    counted = counted or found.get('k') in USUAL_OBJECTS
    return 1 + bool(named or told) + counted


def _options(signature: Signature, file: OnnxFile) -> dict[str, Any]:
    """Options that the graph tells: only the decoding of YOLOX has an exponential."""
    if signature.family == 'yolox' and 'Exp' in file.operator_types:
        return {'decoded': True}
    return {}


class _Told(dict[str, int]):
    """Symbols for a text; '?' stands for those that are not known."""

    def __missing__(self, symbol: str) -> str:
        return '?'


def _listed(outputs: Sequence[TensorSpec]) -> str:
    return ', '.join(
        f'{output.name} [{", ".join("?" if e < 0 else str(e) for e in output.shape)}]'
        for output in outputs
    )
