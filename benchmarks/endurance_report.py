"""What `endurance.py` saw, as rows and as Markdown, and which targets were missed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from endurance_events import Outcome
from endurance_graph import Graph, Sample
from memory_growth import slope_with_error

TARGET_S = 2.0
"""Within which results flow again."""

FLAT_MB_PER_HOUR = 2.0
"""Of private memory: what a process may gain for sure, by twice the error of its slope."""

LINE_MINUTES = 20
"""Which a line through memory needs: buffers of the middleware fill for minutes."""

COURSE_MINUTES = 5
"""Of a row that tells how memory went."""


class Phase(NamedTuple):
    """A part of the run, in seconds of the monotonic clock."""

    name: str
    begin_s: float
    end_s: float
    rates_hz: dict[str, float]


def event_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each kind of event."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind].append(outcome)
    rows = []
    for kind, same in kinds.items():
        recovered = [outcome.recovery_s for outcome in same if outcome.recovery_s is not None]
        worst = max(same, key=lambda o: float('inf') if o.recovery_s is None else o.recovery_s)
        rows.append(
            {
                'event': kind,
                'times': len(same),
                'never back': len(same) - len(recovered),
                'median s': round(float(np.median(recovered)), 2) if recovered else None,
                'worst s': worst.recovery_s,
                'slowest': worst.slowest,
                'longest gap s': max(outcome.longest_gap_s for outcome in same),
                'notes': [dict(outcome.notes) for outcome in same if outcome.notes],
            }
        )
    return rows


def memory_rows(
    graph: Graph, heaps_mb: Mapping[str, Sequence[tuple[float, float]]], phases: Sequence[Phase]
) -> list[dict[str, Any]]:
    """A row for each phase and process that lived long enough for a line."""
    rows = []
    for phase in phases:
        for (name, start), samples in graph.samples.items():
            within = _within(samples, phase)
            within = within[len(within) // 4 :]
            if len(within) >= 10:
                first, last = within[0].time_s, within[-1].time_s
                heap = [(s, mb) for s, mb in heaps_mb.get(name, ()) if first <= s <= last]
                slope, _ = slope_with_error(*_hours(heap))
                rows.append(
                    {
                        'phase': phase.name,
                        'process': f'{name} ({start})',
                        **growth(within),
                        'heap MB/h': '' if np.isnan(slope) else round(slope, 1),
                    }
                )
    return rows


def course_rows(
    graph: Graph, waiting: Sequence[tuple[float, float]], phase: Phase
) -> list[dict[str, Any]]:
    """A row for every few minutes of a phase that is long enough for a line."""
    seconds = phase.end_s - phase.begin_s
    if seconds < LINE_MINUTES * 60:
        return []
    series = {'load': graph.loads, 'images that wait': waiting}
    for (name, start), samples in graph.samples.items():
        within = _within(samples, phase)
        if within and within[-1].time_s - within[0].time_s > seconds / 2:
            series[f'{name} ({start})'] = [(one.time_s, one.private_mb) for one in within]
    step_s = COURSE_MINUTES * 60
    return [
        {
            'phase': phase.name,
            'minute': round((begin_s - phase.begin_s) / 60),
            **{what: _mean(values, begin_s, begin_s + step_s) for what, values in series.items()},
        }
        for begin_s in np.arange(phase.begin_s, phase.end_s - step_s + 1, step_s)
    ]


def _within(samples: Sequence[Sample], phase: Phase) -> list[Sample]:
    return [one for one in samples if phase.begin_s <= one.time_s <= phase.end_s]


def _mean(series: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> float | str:
    """Of the values within a time; '' where there are none."""
    within = [value for time_s, value in series if begin_s <= time_s < end_s]
    return round(float(np.mean(within)), 1) if within else ''


def _hours(seconds: Sequence[tuple[float, float]]) -> tuple[Any, Any]:
    """Times in hours, and the values."""
    columns = np.array(seconds).reshape(-1, 2)
    return columns[:, 0] / 3600, columns[:, 1]


def growth(samples: Sequence[Sample]) -> dict[str, Any]:
    """How memory, handles and threads of one process went."""
    hours = np.array([sample.time_s for sample in samples]) / 3600
    rss = np.array([sample.rss_mb for sample in samples])
    private = np.array([sample.private_mb for sample in samples])
    slope, error = slope_with_error(hours, private)
    return {
        'minutes': round((hours[-1] - hours[0]) * 60, 1),
        'rss MB': [round(rss[0], 1), round(rss[-1], 1)],
        'private MB': [round(private[0], 1), round(private[-1], 1)],
        'private MB/h': round(slope, 1),
        'error': round(error, 1),
        'handles': [samples[0].handles, samples[-1].handles],
        'threads': [samples[0].threads, samples[-1].threads],
    }


def missed(report: dict[str, Any]) -> list[str]:
    """The targets that were missed, in words."""
    found = [] if report['started'] else ['not every node gave results after the start']
    for row in report['events']:
        if row['worst s'] is None or row['worst s'] > TARGET_S:
            found.append(f'{row["event"]}: {row["worst s"]} s until results flow again')
    for row in report['memory']:
        sure = row['private MB/h'] - 2 * row['error']
        if row['minutes'] >= LINE_MINUTES and sure > FLAT_MB_PER_HOUR:
            found.append(f'{row["process"]}, {row["phase"]}: gains {row["private MB/h"]} MB/h')
        for what in ('handles', 'threads'):
            if row['phase'] == 'calm' and row[what][1] > row[what][0]:
                found.append(f'{row["process"]}: {what} {row[what][0]} to {row[what][1]}')
    found += [f'{crash["name"]} ended by itself' for crash in report['crashes']]
    found += [f'traceback in {log}' for log in report['logs_with_traceback']]
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    kills = {
        row['event']: [note['processor s'] for note in row['notes']]
        for row in report['events']
        if row['event'].startswith('kill')
    }
    events = [{k: v for k, v in row.items() if k != 'notes'} for row in report['events']]
    storms = {
        row['event']: row['notes'] for row in report['events'] if row['event'].endswith('storm')
    }
    lines = [
        '# Endurance of the demonstration',
        '',
        f'`{report["command"]}`, {report["machine"]} Load average of 15 minutes before and after: '
        f'{report["load average"]}.',
        '',
        table(report['phases']),
        '',
        'Results a second, by node. After each event, the time until every node gave a result of',
        'an image that was taken after it:',
        '',
        table(events),
        '',
        *[f'- {kind}: `{json.dumps(notes[0])}`' for kind, notes in storms.items()],
        '',
        f'- processor seconds of the new process until then: {kills}',
        '',
        'Memory of each process in the last three quarters of a phase. Private memory is what is',
        'shared with nobody, heap what the code asked for and did not free. A slope of private',
        f'memory is judged where it goes over {LINE_MINUTES} minutes or more:',
        '',
        table(report['memory']),
        '',
        'How it went: the mean of private MB, of the load of the machine, and of the images that',
        f'wait in overlay_node for results, over {COURSE_MINUTES} minutes each:',
        '',
        table(report['course']),
        '',
        'Shared memory without an owner on the whole machine, MB: '
        f'{report["abandoned_shared_memory_mb"]}.',
        f'Processes that ended by themselves: {report["crashes"] or "none"}.',
        '',
        'Targets missed:' if report['missed'] else 'No target was missed.',
        *[f'- {text}' for text in report['missed']],
    ]
    return '\n'.join(lines) + '\n'


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as Markdown."""
    if not rows:
        return '(nothing)'

    def cell(value: Any) -> str:
        return ' to '.join(map(str, value)) if isinstance(value, list) else str(value)

    lines = [' | '.join(rows[0]), ' | '.join('---' for _ in rows[0])]
    lines += [' | '.join(cell(value) for value in row.values()) for row in rows]
    return '\n'.join(f'| {line} |' for line in lines)
