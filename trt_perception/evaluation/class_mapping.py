"""Which class of a data set is which class of a model, by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import EvaluationError
from trt_perception.evaluation.dataset import IGNORED


@dataclass(frozen=True)
class ClassMapping:
    """The classes that are judged, and how both sides number them.

    Attributes:
        names: of the classes judged, as the data set calls them, in its order.
        truth: uint8 [256], from a class id of the data set to an index into `names`; `IGNORED`
            where it is not judged.
        found: uint8 [256], the same for a class id of the model.
        dataset_only, model_only: names of the classes that the other side lacks.
    """

    names: tuple[str, ...]
    truth: NDArray[np.uint8]
    found: NDArray[np.uint8]
    dataset_only: tuple[str, ...]
    model_only: tuple[str, ...]


def match_classes(
    dataset: Sequence[str],
    model: Sequence[str],
    renamed: Mapping[str, str] | None = None,
    *,
    common_only: bool = False,
) -> ClassMapping:
    """Match the classes of a data set with those of a model.

    Names are the same if they differ in capitals, spaces, hyphens and underscores only. Several
    classes of the data set may be one class of the model; they are then judged as one, by the
    first one's name.

    Args:
        dataset: its class names.
        model: its class names.
        renamed: for names of the data set, the model's names.
        common_only: judge the classes that both have; else every class must have a partner.

    Raises:
        EvaluationError: a name in `renamed` does not exist, or classes have no partner.
    """
    renamed = renamed or {}
    for names, known, side in (
        (renamed.keys(), dataset, 'data set'),
        (renamed.values(), model, 'model'),
    ):
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f' (did you mean {near[0]!r}?)' if near else ''
                raise EvaluationError(
                    f'the {side} has no class {name!r}{hint}. Its classes are: {", ".join(known)}'
                )
    places = {_plain(name): index for index, name in enumerate(model)}
    partners = [places.get(_plain(renamed.get(name, name))) for name in dataset]
    dataset_only = [n for n, partner in zip(dataset, partners, strict=True) if partner is None]
    model_only = [n for index, n in enumerate(model) if index not in partners]
    if all(partner is None for partner in partners) or (
        (dataset_only or model_only) and not common_only
    ):
        raise EvaluationError(_mismatch(dataset_only, model_only, len(dataset)))
    return _numbered(dataset, partners, tuple(dataset_only), tuple(model_only))


def _numbered(
    dataset: Sequence[str],
    partners: Sequence[int | None],
    dataset_only: tuple[str, ...],
    model_only: tuple[str, ...],
) -> ClassMapping:
    names: list[str] = []
    truth = np.full(256, IGNORED, np.uint8)
    found = np.full(256, IGNORED, np.uint8)
    for index, partner in enumerate(partners):
        if partner is None:
            continue
        if found[partner] == IGNORED:
            found[partner] = len(names)
            names.append(dataset[index])
        truth[index] = found[partner]
    return ClassMapping(tuple(names), truth, found, dataset_only, model_only)


def _mismatch(dataset_only: Sequence[str], model_only: Sequence[str], count: int) -> str:
    parts = []
    if dataset_only:
        parts.append(f'only in the data set: {", ".join(dataset_only)}')
    if model_only:
        parts.append(f'only in the model: {", ".join(model_only)}')
    remedy = 'Name partners, as in --map person=pedestrian'
    if len(dataset_only) < count:
        remedy += ', or judge only what both have with --common-classes'
    return f'the classes of the data set and of the model differ; {"; ".join(parts)}. {remedy}'


def _plain(name: str) -> str:
    return re.sub(r'[\s_-]+', ' ', name.strip()).casefold()
