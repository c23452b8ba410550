"""Parameters of a node: declared from its struct, checked as a whole, kept as a frozen struct."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import msgspec
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from trt_perception.errors import ParameterError, PerceptionError
from trt_perception.nodes.common_parameters import Parameters
from trt_perception.nodes.parameter_rows import (
    ANY_TIME,
    START,
    UNCONFIGURED,
    ParameterRow,
    parameter_rows,
)

_LARGEST_INTEGER = 2**63 - 1


class DeclaredParameters(Generic[Parameters]):
    """The parameters of one node, and the one callback that lets them change.

    Nothing wrong ends the node. A wrong value given at the start is kept as a fault, with which
    `checked` refuses to configure until the parameter has been set to something allowed.

    Attributes:
        current: the values now; replaced as a whole.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Parameters],
        *,
        configured: Callable[[], bool],
        check: Callable[[Parameters], None],
        changed: Callable[[Parameters], None],
    ) -> None:
        """Declare every field of `kind` on `node`.

        Args:
            node: whose parameters they are.
            kind: their struct.
            configured: whether the node is configured now.
            check: raises a PerceptionError for values that do not go together.
            changed: told of new values, after they have been checked.
        """
        self._node = node
        self._rows = {row.name: row for row in parameter_rows(kind)}
        self._configured = configured
        self._check = check
        self._changed = changed
        self._faults: dict[str, str] = {}
        self._filled: set[str] = set()
        self.current: Parameters = kind()
        given = {name: self._declare(row) for name, row in self._rows.items()}
        self.current = msgspec.structs.replace(
            self.current, **{name: value for name, value in given.items() if value is not None}
        )
        node.add_on_set_parameters_callback(self._on_set)

    def checked(self) -> Parameters:
        """The current values, for `configure`.

        Raises:
            ParameterError: one was given a wrong value and has not been set since.
        """
        if self._faults:
            raise ParameterError('; '.join(self._faults.values()))
        return self.current

    def fill(self, values: Mapping[str, Any]) -> None:
        """Give parameters that nobody set the value that holds for them, so that it is shown.

        Parameters that were filled before are filled again.
        """
        unset = {
            name: value
            for name, value in values.items()
            if name in self._filled or getattr(self.current, name) is None
        }
        self._node.set_parameters_atomically(
            [Parameter(name, value=value) for name, value in unset.items()]
        )
        self._filled = set(unset)

    def unknown(self, given: Sequence[str]) -> list[str]:
        """In words, which of the `given` names look like a slip of the pen for one of ours."""
        found = []
        for name in given:
            near = difflib.get_close_matches(name, list(self._rows), 1, 0.8)
            if near and name not in self._rows:
                found.append(
                    f'parameter {name!r} is unknown and ignored; did you mean {near[0]!r}?'
                )
        return found

    def _declare(self, row: ParameterRow) -> Any:
        """Declare one; returns its value, None where nobody set one or it is wrong."""
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        descriptor = _descriptor(row)
        try:
            parameter = self._node.declare_parameter(row.name, default, descriptor)
            return None if parameter.value is None else row.convert(parameter.value)
        except InvalidParameterValueException:  # rclpy's own check of the range
            given = getattr(self._node, '_parameter_overrides', {}).get(row.name)
            value = repr(given.value) if given is not None else 'the value'
            reason = f'{row.name}: {value} is not allowed; allowed: {row.allowed}'
            self._node.declare_parameter(row.name, default, descriptor, ignore_override=True)
        except ParameterError as error:
            reason = str(error)
        self._faults[row.name] = reason
        return None

    def _on_set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        ours = [parameter for parameter in parameters if parameter.name in self._rows]
        if not ours:  # such as use_sim_time, which no contradiction among ours may hold up
            return SetParametersResult(successful=True)
        try:
            values = {parameter.name: self._convert(parameter) for parameter in ours}
            candidate = msgspec.structs.replace(self.current, **values)
            self._check(candidate)
        except PerceptionError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.current = candidate
        for name in values:
            self._faults.pop(name, None)
            self._filled.discard(name)
        self._changed(candidate)
        return SetParametersResult(successful=True)

    def _convert(self, parameter: Parameter) -> Any:
        row = self._rows[parameter.name]
        if parameter.type_ is Parameter.Type.NOT_SET:
            raise ParameterError(f'{row.name} cannot be deleted; allowed: {row.allowed}')
        value = row.convert(parameter.value)
        same = value == getattr(self.current, row.name) and row.name not in self._faults
        if row.change == UNCONFIGURED and self._configured() and not same:
            raise ParameterError(
                f'{row.name} cannot change while the node is configured. Deactivate it and clean '
                f'it up first: ros2 lifecycle set {self._node.get_fully_qualified_name()} '
                'deactivate, then cleanup; set the parameter, then configure and activate'
            )
        return value


def _descriptor(row: ParameterRow) -> ParameterDescriptor:
    when = {
        ANY_TIME: 'at any time',
        UNCONFIGURED: 'while the node is not configured',
        START: 'only at the start',
    }
    descriptor = ParameterDescriptor(
        description=row.description,
        additional_constraints=f'allowed: {row.allowed}; may change {when[row.change]}',
        read_only=row.change == START,
        # rclpy then leaves the check of the type to us: it takes no whole number for a number,
        # and an empty list for a list of bytes.
        dynamic_typing=True,
    )
    if row.lower is None and row.upper is None:
        return descriptor
    if row.type_name == 'whole number':
        lower = -_LARGEST_INTEGER if row.lower is None else int(row.lower)
        upper = _LARGEST_INTEGER if row.upper is None else int(row.upper)
        descriptor.integer_range = [IntegerRange(from_value=lower, to_value=upper)]
    else:
        # Bounds of the double itself: ROS knows no half-open range.
        lower_bound = -1.7e308 if row.lower is None else float(row.lower)
        upper_bound = 1.7e308 if row.upper is None else float(row.upper)
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=lower_bound, to_value=upper_bound)
        ]
    return descriptor
