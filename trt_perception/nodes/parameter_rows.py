"""How a parameter is described: its type, default, range and meaning, in one place.

Each node's parameters are a frozen struct whose fields carry their own description, so that what
is declared to ROS, what is checked, what the code reads and what the README says cannot differ.
Needs no ROS to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from trt_perception.errors import ParameterError

ANY_TIME = 'any time'
UNCONFIGURED = 'unconfigured'
START = 'start'
"""When a parameter may change: while the node runs, before `configure`, or only at its start."""

CHANGES = (ANY_TIME, UNCONFIGURED, START)


def about(
    description: str,
    *,
    change: str = ANY_TIME,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] | None = None,
    unset: str = '',
) -> msgspec.Meta:
    """Describe the parameter to whose annotation this is added.

    Args:
        description: for `ros2 param describe` and the README.
        change: one of `CHANGES`.
        ge, le: the range of a number, both included.
        choices: the only texts that are allowed.
        unset: what holds while a parameter whose default is None has not been set, in words.
    """
    extra = {'change': change, 'choices': choices, 'unset': unset}
    return msgspec.Meta(description=description, ge=ge, le=le, extra=extra)


_TYPE_NAMES = {str: 'text', float: 'number', int: 'whole number', bool: 'true or false'}


@dataclass(frozen=True)
class ParameterRow:
    """One parameter, as a table shows it.

    Attributes:
        name: of the parameter.
        annotation: its Python type with range, for `msgspec.convert`.
        type_name: its type in words.
        default: its value unless set; None where `unset` says what holds.
        description: what it means.
        lower, upper: the range of a number, both included; None where there is none.
        choices: the only texts that are allowed; None where any is.
        change: when it may change, one of `CHANGES`.
        unset: in words, what holds while it is not set.
    """

    name: str
    annotation: Any
    type_name: str
    default: Any
    description: str
    lower: float | None
    upper: float | None
    choices: tuple[str, ...] | None
    change: str
    unset: str

    @property
    def allowed(self) -> str:
        """What may be set, in words."""
        if self.choices is not None:
            return 'one of ' + ', '.join(self.choices)
        if self.lower is not None and self.upper is not None:
            return f'a {self.type_name} from {self.lower} to {self.upper}'
        if self.lower is not None:
            return f'a {self.type_name} of at least {self.lower}'
        return {'text': 'a text', 'number': 'a number'}.get(self.type_name, self.type_name)

    def convert(self, value: Any) -> Any:
        """The value as the struct holds it.

        Raises:
            ParameterError: it is of another type, outside the range or no choice.
        """
        if self.type_name == 'list of texts' and isinstance(value, Sized) and not len(value):
            return ()  # an empty list has no type of its own in ROS: take it from any
        try:
            converted = msgspec.convert(value, self.annotation)
        except (msgspec.ValidationError, TypeError):
            converted = None
        if converted is None or (self.choices is not None and converted not in self.choices):
            raise ParameterError(f'{self.name}: {value!r} is not allowed; allowed: {self.allowed}')
        return converted


def parameter_rows(kind: type[msgspec.Struct]) -> tuple[ParameterRow, ...]:
    """The parameters of a node, in the order of its struct."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return tuple(_row(name, hints[name], defaults[name]) for name in kind.__struct_fields__)


def _row(name: str, annotation: Any, default: Any) -> ParameterRow:
    if get_origin(annotation) is not Annotated:  # it may be None: only its default is
        [annotation] = [kind for kind in get_args(annotation) if kind is not type(None)]
    plain, meta = get_args(annotation)
    type_name = _TYPE_NAMES.get(plain, 'list of texts')
    extra: Mapping[str, Any] = meta.extra
    return ParameterRow(
        name,
        annotation,
        type_name,
        default,
        meta.description,
        meta.ge,
        meta.le,
        extra['choices'],
        extra['change'],
        extra['unset'],
    )
