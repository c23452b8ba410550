"""Several precisions and sizes of a model, opened side by side. See `pipeline.adaptive`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from trt_perception.adaptation.settings import AdaptationSettings, MachineState
from trt_perception.errors import ParameterError, PerceptionError
from trt_perception.pipeline.adaptive import AdaptivePipeline, Variant
from trt_perception.pipeline.perception import PerceptionPipeline
from trt_perception.runtime.selection import PRECISIONS


@dataclass(frozen=True)
class VariantName:
    """Which model in which precision.

    Attributes:
        model: a name in the package's `config/models`, or a path.
        precision: one of `runtime.selection.PRECISIONS`.
    """

    model: str
    precision: str

    def __str__(self) -> str:
        path = PurePath(self.model)
        name = path.stem if path.suffix in ('.yaml', '.yml', '.onnx') else path.name
        return f'{name}:{self.precision}'


def variant_names(entries: Sequence[str], model: str, precision: str) -> tuple[VariantName, ...]:
    """What a list such as ['fp32', 'fp16', 'small:int8'] means.

    Args:
        entries: each a precision, a model, or both with a colon between them.
        model, precision: what holds where an entry does not say.

    Raises:
        ParameterError: an entry is empty or there twice, or what follows its colon is no precision.
    """
    names = tuple(_name(entry, model, precision) for entry in entries)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ParameterError(
                f'adaptive: {entries[index]!r} is there twice, as {name}. Every entry must be '
                'another precision or another model'
            )
    return names


def open_variants(
    names: Sequence[VariantName],
    open_one: Callable[[VariantName], PerceptionPipeline],
    settings: AdaptationSettings,
    *,
    moved: Callable[[str], None],
    machine: Callable[[], MachineState],
) -> AdaptivePipeline:
    """Open all variants; where one fails none stays open.

    Args:
        names: the most accurate first.
        open_one: opens one, such as `opening.open_built_pipeline`.
        settings, moved, machine: see `AdaptivePipeline`.

    Raises:
        PerceptionError: see `open_one` and `AdaptivePipeline`.
    """
    variants: list[Variant] = []
    try:
        for name in names:
            variants.append(Variant(str(name), _opened(name, open_one)))
        return AdaptivePipeline(variants, settings, moved=moved, machine=machine)
    except BaseException:
        for variant in variants:
            variant.pipeline.close()
        raise


def _opened(
    name: VariantName, open_one: Callable[[VariantName], PerceptionPipeline]
) -> PerceptionPipeline:
    """One of several: an error says which one it is of."""
    try:
        return open_one(name)
    except PerceptionError as error:
        error.args = (f'adaptive: {name}: {error}', *error.args[1:])
        raise


def _name(entry: str, model: str, precision: str) -> VariantName:
    if entry in PRECISIONS:
        return VariantName(model, entry)
    other, colon, after = entry.rpartition(':')
    if not colon:
        other, after = entry, precision
    if not other or after not in PRECISIONS:
        raise ParameterError(
            f'adaptive: {entry!r} is neither a precision ({", ".join(PRECISIONS)}) nor a model, '
            'nor model:precision'
        )
    return VariantName(other, after)
