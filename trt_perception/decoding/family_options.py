"""Settings that one family of models understands, from `options` in the model's YAML file."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from trt_perception.errors import ModelSpecError
from trt_perception.model_spec import ModelSpec


class FamilyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a family's settings. Every field needs a default."""


Options = TypeVar('Options', bound=FamilyOptions)


def options_of(spec: ModelSpec, kind: type[Options]) -> Options:
    """The settings of a model, as its family declares them.

    Args:
        spec: the model.
        kind: the family's own struct.

    Raises:
        ModelSpecError: an option is not of this family, or has a wrong type.
    """
    try:
        return msgspec.convert(spec.options, kind)
    except msgspec.ValidationError as error:
        allowed = ', '.join(_allowed(kind)) or 'none'
        raise ModelSpecError(
            f'{spec.name}: options: {error}. Options of family {spec.family}: {allowed}'
        ) from error


def _allowed(kind: type[FamilyOptions]) -> list[str]:
    """The options' names, with their values where these are words."""
    hints = get_type_hints(kind)
    words = {
        name: ' or '.join(map(repr, get_args(hint)))
        for name, hint in hints.items()
        if get_origin(hint) is Literal
    }
    return [f'{name} ({words[name]})' if name in words else name for name in kind.__struct_fields__]
