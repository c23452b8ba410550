"""The parameters of a tracker and its settings say the same, each in its own words."""

from __future__ import annotations

from dataclasses import fields, replace

import msgspec
import pytest

from trt_perception.errors import ParameterError
from trt_perception.nodes.parameter_rows import parameter_rows
from trt_perception.nodes.tracked_parameters import DetectParameters
from trt_perception.tracking.settings import TrackerSettings

ROWS = {row.name: row for row in parameter_rows(DetectParameters)}
FIELDS = [field.name for field in fields(TrackerSettings)]
NUMBERS = [name for name in FIELDS if not isinstance(getattr(TrackerSettings, name), str)]


def row_of(name: str):
    return ROWS['tracker' if name == 'kind' else f'track_{name}']


def test_by_default_nothing_is_followed_as_the_settings_have_it():
    assert DetectParameters().tracker_settings() == TrackerSettings()


@pytest.mark.parametrize('name', FIELDS)
def test_each_parameter_sets_its_own_field_and_no_other(name):
    row = row_of(name)
    value = row.choices[-1] if row.choices else row.upper
    parameters = msgspec.structs.replace(DetectParameters(), **{row.name: row.convert(value)})
    assert parameters.tracker_settings() == replace(TrackerSettings(), **{name: value})


@pytest.mark.parametrize('name', NUMBERS)
def test_what_the_parameter_refuses_the_settings_refuse(name):
    row = row_of(name)
    for bound, beyond in ((row.lower, row.lower - 1), (row.upper, row.upper + 1)):
        replace(TrackerSettings(), **{name: bound})
        with pytest.raises(ParameterError):
            replace(TrackerSettings(), **{name: beyond})
        with pytest.raises(ParameterError):
            row.convert(beyond)
