"""What a node says of how it is doing."""

from __future__ import annotations

from trt_perception.nodes.health import ERROR, WARN, Beginnings, Health


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def health() -> tuple[Health, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    return Health(lines.append, recent_s=5.0, clock=clock), lines, clock


def test_a_new_one_is_well():
    ours, lines, _ = health()
    assert ours.condition() is None
    assert ours.latest == ''
    assert lines == []


def test_a_fault_is_an_error_until_mended():
    ours, _, clock = health()
    ours.fault('no model')
    clock.now += 1000
    assert ours.condition().level == ERROR
    assert ours.condition().text == 'no model'
    ours.mended()
    assert ours.condition() is None
    assert ours.latest == 'no model'


def test_failures_only_are_an_error():
    ours, _, _ = health()
    ours.failed('empty', 'nothing in it')
    assert ours.condition().level == ERROR
    assert 'nothing in it' in ours.condition().text


def test_failures_among_successes_are_a_warning_for_a_while():
    ours, _, clock = health()
    ours.succeeded()
    ours.failed('empty', 'nothing in it')
    assert ours.condition().level == WARN
    clock.now += 5.1
    assert ours.condition() is None


def test_each_cause_is_logged_at_once_and_then_seldom():
    ours, lines, clock = health()
    for _ in range(4):
        ours.failed('empty', 'nothing in it')
    ours.failed('corrupt', 'damaged')
    assert lines == ['nothing in it', 'damaged']
    clock.now += 5
    ours.failed('empty', 'nothing in it')
    assert lines[2:] == ['nothing in it (and 3 more of this kind before)']
    clock.now += 5
    ours.failed('empty', 'nothing in it')
    assert lines[3:] == ['nothing in it']


def test_what_holds_is_logged_when_it_begins_and_again_when_it_comes_back():
    lines: list[str] = []
    beginnings = Beginnings(lines.append)
    for holds in ((), ('cold', 'dark'), ('dark',), ('cold', 'dark')):
        beginnings.note(holds)
    assert lines == ['cold', 'dark', 'cold']
