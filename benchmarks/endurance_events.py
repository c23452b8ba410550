"""What the demonstration has to bear. Each event ends when results of new images flow again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endurance_graph import Graph
from endurance_probe import STREAMS, Probe
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import SetBool

STORM = Path(__file__).with_name('endurance_storm.py')
PATIENCE_S = 30.0
_STEP_S = 0.02
_DOWN, _CLEAN = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
_READY, _UP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE


@dataclass
class Outcome:
    """How an event went.

    Attributes:
        recovery_s: from the event, or from what ends it, to the first result of an image taken
            after that, of the slowest node; None where one was not back within 30 s.
        slowest: that node.
        longest_gap_s: in which one of the nodes said nothing, from the begin to the recovery.
        notes: more figures.
    """

    kind: str
    recovery_s: float | None
    slowest: str
    longest_gap_s: float
    notes: Mapping[str, Any] = field(default_factory=dict)


class Events:
    """Disturbs the nodes, one event after the other."""

    def __init__(self, graph: Graph, probe: Probe, environment: Mapping[str, str]) -> None:
        self._graph = graph
        self._probe = probe
        self._environment = environment

    def serve(self, seconds: float) -> None:
        """Let the nodes work."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._graph.tend()
            time.sleep(_STEP_S)

    def until_all_flow(self, seconds: float) -> bool:
        """Wait until every node has a result of an image that is taken from now on."""
        self._probe.watch()
        end = time.monotonic() + seconds
        while len(self._probe.fresh()) < len(STREAMS) and time.monotonic() < end:
            self.serve(0.1)
        return len(self._probe.fresh()) == len(STREAMS)

    def kills(self) -> Iterator[Callable[[], Outcome]]:
        """Kill -9 of each process in turn."""
        for name in ('camera_node', *STREAMS):
            yield lambda name=name: self._killed(name)

    def disturbances(self, seconds: float) -> Iterator[Callable[[], Outcome]]:
        """Storms of `seconds`, pauses, and steps of the life cycle."""
        yield lambda: self._storm('subscribers', seconds)
        yield lambda: self._storm('parameters', seconds)
        for name in ('camera_node', *STREAMS):
            yield lambda name=name: self._toggled(name)
        for name in ('camera_node', *STREAMS):
            yield lambda name=name: self._stepped(name, 'deactivate, activate', (_DOWN,), (_UP,))
        for name in ('detect_node', 'overlay_node'):
            yield lambda name=name: self._stepped(
                name, 'down to unconfigured and up', (_DOWN, _CLEAN), (_READY, _UP)
            )

    def jumps(self) -> Iterator[Callable[[], Outcome]]:
        """What a simulated clock can do."""
        clock = self._probe.clock
        assert clock is not None
        for seconds in (-60.0, 3600.0, -3600.0, 0.5, -0.5):
            yield lambda seconds=seconds: self._outcome(
                f'clock jumps by {seconds:g} s', lambda: clock.jump(seconds)
            )
        yield self._standstill

    def _killed(self, name: str) -> Outcome:
        outcome = self._outcome(f'kill -9 {name}', lambda: self._graph.kill(name))
        # What the start costs where no other work gets in between.
        outcome.notes = {**outcome.notes, 'processor s': round(self._graph.processor_s(name), 2)}
        return outcome

    def _standstill(self) -> Outcome:
        clock = self._probe.clock
        assert clock is not None
        begin = time.monotonic()
        clock.stand(True)
        self.serve(3.0)
        return self._outcome('clock stood for 3 s', lambda: clock.stand(False), begin)

    def _storm(self, kind: str, seconds: float) -> Outcome:
        begin = time.monotonic()
        storm = subprocess.Popen(
            [sys.executable, str(STORM), kind, '--seconds', str(seconds)],
            env=dict(self._environment),
            stdout=subprocess.PIPE,
            text=True,
        )
        while storm.poll() is None:
            self.serve(0.1)
        said = storm.communicate()[0].splitlines()
        notes = json.loads(said[-1]) if said else {'failed': storm.returncode}
        notes['results_a_second'] = self._probe.rates_hz(begin, time.monotonic())
        return self._outcome(f'{kind} storm', lambda: None, begin, notes)

    def _toggled(self, name: str) -> Outcome:
        begin = time.monotonic()
        answers = []
        for on in (False, True, False, True, False):
            answers.append(self._call(name, 'enable', SetBool.Request(data=on)))
            self.serve(0.2)
        last = SetBool.Request(data=True)
        notes = {'refused': answers.count(False)}
        return self._outcome(
            f'~/enable off and on, {name}', lambda: self._call(name, 'enable', last), begin, notes
        )

    def _stepped(
        self, name: str, words: str, down: tuple[int, ...], up: tuple[int, ...]
    ) -> Outcome:
        begin = time.monotonic()
        answers = [self._step(name, step) for step in down]
        self.serve(0.5)

        def again() -> None:
            answers.extend(self._step(name, step) for step in up)

        outcome = self._outcome(f'{words}, {name}', again, begin)
        outcome.notes = {'refused': answers.count(False)}
        return outcome

    def _step(self, name: str, step: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=step))
        return self._call(name, 'change_state', request)

    def _call(self, name: str, service: str, request: Any) -> bool:
        return self._probe.call(name, service, request, self._graph.tend)

    def _outcome(
        self,
        kind: str,
        event: Callable[[], object],
        begin_s: float | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Do what ends the event, or is the event, and wait for results of new images."""
        moment = time.monotonic()
        if self._probe.clock is None:
            # Before a call that takes its time; a clock that jumps is looked at after it.
            self._probe.watch()
            event()
        else:
            event()
            self._probe.watch()
        end = moment + PATIENCE_S
        while len(self._probe.fresh()) < len(STREAMS) and time.monotonic() < end:
            self.serve(_STEP_S)
        fresh = self._probe.fresh()
        missing = sorted(set(STREAMS) - set(fresh))
        slowest = missing[0] if missing else max(fresh, key=fresh.__getitem__)
        recovery = None if missing else round(max(fresh.values()) - moment, 2)
        gap = self._probe.longest_gap_s(begin_s or moment, time.monotonic())
        told = {'said': self._graph.said(slowest)} if missing else {}
        return Outcome(kind, recovery, slowest, round(gap, 2), {**(notes or {}), **told})
