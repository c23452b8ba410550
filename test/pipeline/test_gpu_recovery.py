"""The order of what is tried where the GPU is lost."""

import pytest

from trt_perception.errors import DeviceLostError, InferenceError, ModelFileError
from trt_perception.pipeline.gpu_recovery import GpuRecovery

LOST = DeviceLostError('an illegal address')


class Told:
    """Notes what is tried; a step whose error is set raises it."""

    def __init__(self, **errors):
        self.errors = errors
        self.steps = []

    def step(self, name):
        def do():
            self.steps.append(name)
            if name in self.errors:
                raise self.errors[name]
            return name

        return do

    def recovery(self, *, to_cpu):
        on_cpu = self.step('cpu') if to_cpu else None
        return GpuRecovery(self.step('rebuild'), self.step('give back'), on_cpu)


def test_before_anything_is_lost_nothing_is_tried():
    told = Told()
    recovery = told.recovery(to_cpu=True)
    assert not recovery.over
    assert told.steps == []


def test_the_first_time_all_is_made_anew_and_the_next_time_given_back():
    told = Told()
    recovery = told.recovery(to_cpu=False)
    first = recovery.after(LOST)
    assert type(first) is InferenceError
    assert 'set up anew' in str(first)
    assert told.steps == ['rebuild']
    assert not recovery.over
    assert isinstance(recovery.after(LOST), DeviceLostError)
    assert told.steps == ['rebuild', 'give back']
    assert recovery.gone == 'an illegal address'
    assert recovery.over


@pytest.mark.parametrize('fails', [{}, {'rebuild': InferenceError('no context')}])
def test_the_cpu_goes_on_once_what_was_on_the_gpu_is_given_back(fails):
    told = Told(**fails)
    recovery = told.recovery(to_cpu=True)
    if not fails:
        recovery.after(LOST)
    assert 'goes on on the CPU' in str(recovery.after(LOST))
    assert told.steps == ['rebuild', 'give back', 'cpu']
    assert (recovery.instead, recovery.gone, recovery.over) == ('cpu', '', True)


def test_where_nothing_can_go_on_every_reason_is_told():
    told = Told(rebuild=InferenceError('no context'), cpu=ModelFileError('no such operator'))
    text = str(told.recovery(to_cpu=True).after(LOST))
    for reason in ('illegal address', 'anew failed: no context', 'either: no such operator'):
        assert reason in text
