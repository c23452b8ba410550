"""From what a user writes to a data set that fits a model."""

from __future__ import annotations

from trt_perception.errors import EvaluationError
from trt_perception.evaluation.cityscapes import open_cityscapes
from trt_perception.evaluation.coco import open_coco
from trt_perception.evaluation.dataset import Dataset
from trt_perception.evaluation.synthetic import open_synthetic
from trt_perception.model_spec import ModelSpec

ACCEPTED = 'synthetic:test[:N], coco:ANNOTATIONS.json:IMAGES, cityscapes:FOLDER[:split]'


def open_dataset(text: str, spec: ModelSpec) -> Dataset:
    """Open what `text` names, see `ACCEPTED`.

    Args:
        text: as the user wrote it.
        spec: the model, which states the task; the synthetic street is rendered at its size.

    Raises:
        EvaluationError: there is no such data set, it is damaged, or it has no truth for the
            model's task.
    """
    kind, _, rest = text.strip().partition(':')
    if kind == 'synthetic':
        return open_synthetic(rest, spec.input.size, spec.task)
    if kind == 'coco':
        if spec.task == 'semantic':
            raise EvaluationError(
                f'data set {text}: COCO annotations are objects, and {spec.name} is a semantic '
                'model. Use synthetic:test or cityscapes:FOLDER'
            )
        return open_coco(rest, spec.task)
    if kind == 'cityscapes':
        if spec.task != 'semantic':
            raise EvaluationError(
                f'data set {text}: the Cityscapes folders are read as semantic truth, and '
                f'{spec.name} finds objects. Convert them to COCO JSON: coco:FILE:IMAGES'
            )
        return open_cityscapes(rest)
    raise EvaluationError(f'data set {text!r}: unknown kind. A data set is {ACCEPTED}')
