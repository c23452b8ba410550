import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.building.build_progress import BuildControl, BuildWatch, Phases


def test_a_step_of_an_unknown_phase_does_no_harm():
    assert 0 <= Phases().step('never started', 3) <= 1


def test_inner_phases_share_one_step_of_the_outer_one():
    phases = Phases()
    phases.start('build', None, 4)
    phases.start('tactics', 'build', 2)
    assert phases.step('tactics', 0) == pytest.approx(1 / 8)
    assert phases.step('tactics', 1) == pytest.approx(2 / 8)
    phases.finish('tactics')
    assert phases.step('build', 0) == pytest.approx(1 / 4)
    assert phases.step('build', 3) == 1


def test_a_phase_of_no_steps_and_one_inside_itself_are_survived():
    phases = Phases()
    phases.start('a', 'a', 0)
    assert 0 <= phases.step('a', 0) <= 1


names = st.sampled_from(['a', 'b', 'c', 'd'])
events = st.lists(
    st.tuples(st.just('start'), names, st.none() | names, st.integers(0, 5))
    | st.tuples(st.just('step'), names, st.integers(0, 5))
    | st.tuples(st.just('finish'), names)
)


@given(events)
def test_the_share_never_falls_and_stays_a_share(calls):
    phases, last = Phases(), 0.0
    for name, *arguments in calls:
        share = getattr(phases, name)(*arguments)
        if name == 'step':
            assert last <= share <= 1
            last = share


def test_goes_on_until_it_is_cancelled():
    answers = iter([False, True, False])
    watch = BuildWatch(BuildControl(cancelled=lambda: next(answers)))
    assert [watch.step('a', number) for number in range(3)] == [True, False, False]
    assert watch.cancelled


@pytest.mark.parametrize('error', [ValueError('broken display'), KeyboardInterrupt()])
def test_an_exception_stops_the_build_and_is_kept(error):
    def fail(share, phase):
        raise error

    watch = BuildWatch(BuildControl(progress=fail))
    assert watch.step('a', 0) is False
    assert watch.failure is error
    assert not watch.cancelled
