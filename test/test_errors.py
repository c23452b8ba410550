import pytest

from trt_perception import errors


def test_all_errors_share_one_root():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 8
    assert all(issubclass(kind, errors.PerceptionError) for kind in kinds)


def test_frame_error_carries_its_cause():
    assert errors.FrameError('empty', 'no data').cause == 'empty'


def test_frame_error_refuses_a_cause_that_no_counter_knows():
    with pytest.raises(ValueError, match='short_data'):
        errors.FrameError('oops', 'no data')
