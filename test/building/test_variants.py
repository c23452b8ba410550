"""Variants of a model: their names, and that all or none stay open."""

from __future__ import annotations

import pytest

from networks import write_detector
from trt_perception.adaptation.settings import AdaptationSettings, MachineState
from trt_perception.building.variants import VariantName, open_variants, variant_names
from trt_perception.errors import InferenceError, ModelSpecError, ParameterError
from trt_perception.pipeline.perception import open_pipeline

SETTINGS = AdaptationSettings(target_latency_ms=20.0)


def names_of(*entries: str) -> list[tuple[str, str]]:
    return [(n.model, n.precision) for n in variant_names(entries, 'street', 'fp16')]


def test_no_entry_is_no_variant():
    assert names_of() == []


def test_an_entry_is_a_precision_a_model_or_both():
    assert names_of('fp32', 'int8') == [('street', 'fp32'), ('street', 'int8')]
    assert names_of('large', 'small:int8') == [('large', 'fp16'), ('small', 'int8')]
    assert names_of('models/a.yaml:fp32') == [('models/a.yaml', 'fp32')]
    assert names_of('models/b.yaml') == [('models/b.yaml', 'fp16')]


def test_in_the_log_a_variant_is_called_by_the_file_and_the_precision():
    assert str(VariantName('street', 'fp32')) == 'street:fp32'
    assert str(VariantName('models/v1.5.yaml', 'int8')) == 'v1.5:int8'
    assert str(VariantName('models/v1.5', 'int8')) == 'v1.5:int8'


@pytest.mark.parametrize('entry', ['small:fp17', ':fp16', 'small:'])
def test_what_is_no_precision_is_refused(entry):
    with pytest.raises(ParameterError, match='neither a precision'):
        names_of('fp32', entry)


def test_the_same_twice_is_refused():
    with pytest.raises(ParameterError, match=r"'street:fp16' is there twice, as street:fp16"):
        names_of('fp32', 'fp16', 'street:fp16')


@pytest.fixture
def models(tmp_path):
    """A large and a small detector, and one of other classes."""
    made = {}
    for name, size, classes in (
        ('large', (128, 96), ('car', 'dog')),
        ('small', (64, 48), ('car', 'dog')),
        ('other', (64, 48), ('cat', 'dog')),
    ):
        folder = tmp_path / name
        folder.mkdir()
        made[name] = str(write_detector(folder, [[9, 9, 4, 4]], [[0.9, 0.0]], classes, size=size))
    return made


def opened(models, *names):
    pipelines = []

    def open_one(name):
        pipelines.append(open_pipeline(name.model, precision=name.precision, threads=1))
        return pipelines[-1]

    def together():
        return open_variants(
            [VariantName(models.get(name, name), 'fp32') for name in names],
            open_one,
            SETTINGS,
            moved=lambda _: None,
            machine=MachineState,
        )

    return pipelines, together


def test_all_are_opened_the_first_leads(models):
    _, together = opened(models, 'large', 'small')
    pipeline = together()
    assert pipeline.spec.input.size == (128, 96)
    assert [v.name for v in pipeline.variants] == ['detector:fp32', 'detector:fp32']
    pipeline.close()


@pytest.mark.parametrize('last', ['other', 'missing'])
def test_where_one_cannot_be_used_none_stays_open(models, last):
    pipelines, together = opened(models, 'large', 'small', last)
    with pytest.raises(ModelSpecError):
        together()
    assert len(pipelines) >= 2
    for pipeline in pipelines:
        with pytest.raises(InferenceError):
            pipeline.warm_up()


def test_an_error_says_which_variant_it_is_of(models):
    _, together = opened(models, 'large', 'missing')
    with pytest.raises(ModelSpecError, match=r'^adaptive: missing:fp32: .*missing'):
        together()
