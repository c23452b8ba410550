"""Which class is which, by name."""

from __future__ import annotations

import pytest

from trt_perception.errors import EvaluationError
from trt_perception.evaluation.class_mapping import match_classes


def test_no_classes_at_all():
    with pytest.raises(EvaluationError, match='only in the model: car'):
        match_classes([], ['car'], common_only=True)


def test_the_order_does_not_matter():
    mapping = match_classes(['dog', 'Traffic Light'], ['traffic_light', 'dog'])
    assert mapping.names == ('dog', 'Traffic Light')
    assert mapping.truth[:3].tolist() == [0, 1, 255]
    assert mapping.found[:3].tolist() == [1, 0, 255]


def test_what_does_not_match_is_named_with_the_remedy():
    with pytest.raises(EvaluationError) as caught:
        match_classes(['car', 'person'], ['car', 'pedestrian'])
    text = str(caught.value)
    assert 'only in the data set: person;' in text
    assert 'only in the model: pedestrian.' in text
    assert '--map person=pedestrian' in text
    assert '--common-classes' in text


def test_renamed_classes():
    mapping = match_classes(['car', 'person'], ['car', 'pedestrian'], {'person': 'pedestrian'})
    assert mapping.names == ('car', 'person')


def test_two_classes_of_the_data_set_may_be_one_of_the_model():
    mapping = match_classes(
        ['car', 'rider', 'bicycle'], ['car', 'cyclist'], {'rider': 'cyclist', 'bicycle': 'cyclist'}
    )
    assert mapping.names == ('car', 'rider')
    assert mapping.truth[:3].tolist() == [0, 1, 1]


def test_only_the_common_ones():
    mapping = match_classes(['car', 'train'], ['cat', 'car'], common_only=True)
    assert mapping.names == ('car',)
    assert mapping.truth[:2].tolist() == [0, 255]
    assert mapping.found[:2].tolist() == [255, 0]
    assert (mapping.dataset_only, mapping.model_only) == (('train',), ('cat',))


def test_nothing_in_common_is_refused_even_then():
    with pytest.raises(EvaluationError, match='--map'):
        match_classes(['train'], ['cat'], common_only=True)


@pytest.mark.parametrize(
    ('renamed', 'text'),
    [
        ({'persn': 'car'}, r"data set has no class 'persn' \(did you mean 'person'"),
        ({'person': 'cars'}, r"model has no class 'cars' \(did you mean 'car'"),
    ],
)
def test_unknown_names(renamed, text):
    with pytest.raises(EvaluationError, match=text):
        match_classes(['person'], ['car'], renamed)
