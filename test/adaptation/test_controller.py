from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.adaptation.controller import Controller
from trt_perception.adaptation.settings import AdaptationSettings, MachineState, Move
from trt_perception.errors import ParameterError

COSTS = (30.0, 18.0, 10.0)
"""Milliseconds of three variants on an idle machine."""

FINE = MachineState(temperature_c=50.0, power=0.5, load=0.5)
RECORDED_LOAD = Path(__file__).parents[1] / 'data' / 'recorded_load.json'


def aim(**changes) -> AdaptationSettings:
    return AdaptationSettings(**{'target_latency_ms': 33.0, **changes})


class Simulated:
    """A camera at 10 Hz before a machine that is slowed down by a factor."""

    def __init__(self, controller: Controller, costs=COSTS) -> None:
        self.controller = controller
        self.costs = costs
        self.now_s = 0.0
        self.moves: list[tuple[float, Move]] = []
        self.latencies: list[float] = []

    def run(self, seconds: float, slowdown: float = 1.0, machine: MachineState = FINE) -> None:
        for _ in range(round(seconds * 10)):
            self.frame(slowdown, machine)

    def frame(self, slowdown: float, machine: MachineState = FINE) -> None:
        self.now_s += 0.1
        latency = self.costs[self.controller.current] * slowdown
        self.latencies.append(latency)
        move = self.controller.frame(latency, self.now_s, machine)
        if move is not None:
            self.moves.append((self.now_s, move))


def test_one_variant_never_moves():
    world = Simulated(Controller([30.0], aim()), (30.0,))
    world.run(60, slowdown=5)
    world.run(60)
    assert world.moves == []


def test_a_machine_that_is_fast_enough_stays_with_the_most_accurate():
    world = Simulated(Controller(COSTS, aim()))
    world.run(120)
    assert world.moves == []
    assert world.controller.latency_ms == 30.0


def test_a_slow_machine_takes_a_faster_variant_and_says_why():
    world = Simulated(Controller(COSTS, aim()))
    world.run(10, slowdown=1.5)
    [(moved_s, move)] = world.moves
    assert (move.origin, move.target) == (0, 1)
    assert move.reason == 'a frame takes 45.0 ms, the target is 33.0 ms'
    assert moved_s <= 3.0


def test_two_steps_where_one_is_not_enough():
    world = Simulated(Controller(COSTS, aim()))
    world.run(20, slowdown=3)
    assert [move.target for _, move in world.moves] == [1, 2]
    assert world.latencies[-1] <= 33.0


def test_a_short_pause_of_the_machine_moves_nothing():
    world = Simulated(Controller(COSTS, aim()))
    world.run(10)
    world.run(0.5, slowdown=20)
    world.run(30)
    assert world.moves == []


def test_the_accurate_one_comes_back_after_a_calm():
    world = Simulated(Controller(COSTS, aim(target_latency_ms=40.0)))
    world.run(5, slowdown=2)
    assert world.controller.current == 1
    world.run(9)
    assert world.controller.current == 1
    world.run(10)
    assert world.controller.current == 0
    assert world.moves[-1][1].reason == 'about 30.0 ms are expected, the target is 40.0 ms'


def test_no_try_without_headroom():
    """30 ms are expected, and 0.8 of 33 ms are 26.4."""
    world = Simulated(Controller(COSTS, aim()))
    world.run(5, slowdown=2)
    world.run(300)
    assert world.controller.current == 1


def test_it_does_not_swing_at_the_border():
    """The accurate variant seems to fit, but does not: the tries become rare."""
    costs = (30.0, 29.0)
    world = Simulated(Controller(costs, aim(target_latency_ms=40.0)), costs)
    for _ in range(20000):
        world.frame(slowdown=1.4 if world.controller.current == 0 else 1.0)
    tries = [moved_s for moved_s, move in world.moves if move.target == 0]
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 300.0
    assert len(tries) <= 12


def test_the_patience_comes_back_after_a_try_that_held():
    costs = (30.0, 29.0)
    world = Simulated(Controller(costs, aim(target_latency_ms=40.0)), costs)
    for _ in range(3000):
        world.frame(slowdown=1.4 if world.controller.current == 0 else 1.0)
    world.run(400)
    assert world.controller.current == 0
    world.run(5, slowdown=1.5)
    begin = world.now_s
    world.run(30)
    assert world.controller.current == 0
    assert world.moves[-1][0] - begin <= 15


@pytest.mark.parametrize(
    ('state', 'text'),
    [
        (MachineState(temperature_c=90.0), 'the GPU has 90 °C, the limit is 85 °C'),
        (MachineState(power=0.99), 'the GPU draws 99% of its power limit, allowed are 98%'),
    ],
)
def test_a_gpu_at_its_limit_is_spared_step_by_step(state, text):
    world = Simulated(Controller(COSTS, aim()))
    world.run(5, machine=state)
    assert [(move.target, move.reason) for _, move in world.moves] == [(1, text)]
    world.run(10, machine=state)
    assert world.controller.current == 2


def test_a_warm_gpu_keeps_the_faster_one_until_it_is_cool():
    world = Simulated(Controller(COSTS, aim(target_latency_ms=60.0)))
    world.run(1, machine=MachineState(temperature_c=90.0))
    assert world.controller.current == 1
    world.run(60, machine=MachineState(temperature_c=82.0))
    assert world.controller.current == 1
    world.run(15, machine=MachineState(temperature_c=70.0))
    assert world.controller.current == 0


def test_a_busy_machine_is_not_burdened_more():
    world = Simulated(Controller(COSTS, aim(target_latency_ms=60.0), start=1))
    world.run(60, machine=MachineState(load=1.0))
    assert world.controller.current == 1


def test_a_machine_that_says_nothing_is_judged_by_its_latency():
    world = Simulated(Controller(COSTS, aim()))
    world.run(10, slowdown=1.5, machine=MachineState())
    assert world.controller.current == 1


def test_a_latency_that_is_no_number_is_left_out():
    controller = Controller(COSTS, aim())
    for _ in range(100):
        assert controller.frame(math.nan, 1.0, FINE) is None
    assert math.isnan(controller.latency_ms)


def test_an_accurate_variant_that_is_faster_is_not_left():
    costs = (10.0, 12.0)
    world = Simulated(Controller(costs, aim()), costs)
    world.run(30, slowdown=10)
    assert world.moves == []


def test_a_recorded_load():
    """Latencies of a real network on a machine that built and tested other things meanwhile."""
    recorded = json.loads(RECORDED_LOAD.read_text())
    idle = min(recorded['latencies_ms'])
    slowdowns = [latency / idle for latency in recorded['latencies_ms']]
    target = 1.25 * COSTS[0]
    world = Simulated(Controller(COSTS, aim(target_latency_ms=target)))
    fixed = Simulated(Controller(COSTS[:1], aim(target_latency_ms=target)), COSTS[:1])
    for slowdown in slowdowns * 3:
        world.frame(slowdown)
        fixed.frame(slowdown)
    late = sum(latency > target for latency in world.latencies)
    late_fixed = sum(latency > target for latency in fixed.latencies)
    assert late_fixed > 0.2 * len(fixed.latencies)
    assert late < 0.5 * late_fixed
    assert len(world.moves) <= 30


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.2, 20.0), min_size=1, max_size=400), st.integers(0, 2))
def test_whatever_comes_it_stays_among_the_variants(slowdowns, start):
    world = Simulated(Controller(COSTS, aim(), start=start))
    for slowdown in slowdowns:
        world.frame(slowdown)
    place = start
    for _, move in world.moves:
        assert move.origin == place
        assert abs(move.target - move.origin) == 1
        assert 0 <= move.target < len(COSTS)
        place = move.target
    assert place == world.controller.current


@pytest.mark.parametrize('costs', [(), (1.0, 0.0), (math.nan,), (-1.0,), (math.inf,)])
def test_costs_are_positive_numbers(costs):
    with pytest.raises(ParameterError, match='each variant needs a measured time'):
        Controller(costs, aim())


@pytest.mark.parametrize(
    'wrong',
    [
        {'target_latency_ms': 0.0},
        {'target_latency_ms': math.inf},
        {'headroom': 0.0},
        {'window': 2},
        {'slow_s': -1.0},
        {'calm_s': 400.0},
        {'temperature_margin_c': -1.0},
        {'power_limit': 2.0},
        {'load_limit': 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ParameterError, match='adaptation: '):
        aim(**wrong)
