"""The figures of `gpu_frame.py` as tables: its own file, and those of the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]
Row = Mapping[str, Any]

LATENCY = ('latency of shipped networks', 'latency of sized networks')
"""The steps with the time of a frame."""

LOCKED, ORDINARY = 'page-locked, as nodes take it', 'ordinary'

_PATH = re.compile(r'(?<![\w.:/])/(?:[\w.+-]+/)+(?=[\w.+-]+)')
"""The folders of an absolute path, whose last part says enough."""


def without_paths(value: Any) -> Any:
    """The same with no folder of a machine in any text."""
    if isinstance(value, str):
        return _PATH.sub('', value)
    if isinstance(value, Mapping):
        return {str(key): without_paths(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(one) for one in value]
    return value


def as_markdown(document: Document) -> str:
    """All figures."""
    lines = ['# One GPU, frames of 1920x1080', '', f'`{document["command"]}`', '']
    machine = document['machine']
    facts, versions = machine['facts'], machine['versions']
    lines += [f'- {gpu["name"]}, driver {gpu["driver"]}' for gpu in facts.get('gpus', [])]
    lines += [f'- {machine["cores"]} cores, {machine.get("processor", "")}'.rstrip(', ')]
    lines += [f'- Python {machine["python"]}']
    lines += [f'- {name} {version}' for name, version in versions.items() if version]
    for name, step in document['steps'].items():
        lines += ['', f'## {name}', '']
        if step.get('began'):
            lines += [f'Began {step["began"]}, took {step["seconds"]} s.', '']
        if step['ended']:
            lines += [f'Incomplete: {step["ended"]}. {" ".join(step["said"])}'.strip(), '']
        lines += _of_cells([_flat(result) for result in step['results']])
    return '\n'.join(lines) + '\n'


def _flat(result: Row) -> dict[str, str]:
    cells = {}
    for key, value in result.items():
        if isinstance(value, Mapping) and 'p50_ms' in value:
            cells[f'{key} p50 ms'] = f'{value["p50_ms"]:.3f}'
            cells[f'{key} p99 ms'] = f'{value["p99_ms"]:.3f}'
        elif isinstance(value, Mapping):
            cells[key] = ', '.join(
                f'{k} {v:.3f}' if isinstance(v, float) else f'{k} {v}' for k, v in value.items()
            )
        elif isinstance(value, float):
            cells[key] = f'{value:.3f}' if abs(value) < 1000 else f'{value:.0f}'
        elif isinstance(value, list):
            cells[key] = ' '.join(map(str, (value[0], '...', value[-1]))) if value else ''
        else:
            cells[key] = '' if value is None else str(value)
    return cells


def _of_cells(rows: Sequence[Mapping[str, str]]) -> list[str]:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return table(keys, ([row.get(key, '') for key in keys] for row in rows)) if rows else []


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [f'| {" | ".join(titles)} |', f'|{"---|" * len(titles)}']
    return lines + [f'| {" | ".join(row)} |' for row in rows]


# Tables of the documentation


def _results(document: Document, *steps: str) -> list[Row]:
    found = (document['steps'].get(step, {}).get('results', []) for step in steps)
    return [row for rows in found for row in rows]


def _by_memory(rows: Sequence[Row], *keys: str) -> dict[tuple[Any, ...], dict[str, Row]]:
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), {})[row['memory']] = row
    return {key: both for key, both in found.items() if {LOCKED, ORDINARY} <= both.keys()}


def _ms(spread: Row) -> str:
    return f'{spread["p50_ms"]:.2f}'


_SIZES = {'n': 'as YOLOv8n', 'm': 'as YOLOv8m'}


def _title(row: Row) -> str:
    name: str = row['network']
    if name.startswith('street'):
        title = name
    else:
        scale, task, precision = name.split('_')
        masks = ' with masks' if task == 'instance' else ''
        title = f'{_SIZES[scale]}{masks}, {precision.replace("fp", "float")}'
    return f'{title}, {row["objects"]} objects' if row.get('objects') else title


def latency(document: Document) -> list[str]:
    """Frame to result, in either memory, beside the network alone."""
    rows = _results(document, *LATENCY)
    titles = ['network', 'network alone', 'aim over it']
    for kind in ('page-locked frame', 'ordinary frame'):
        titles += [kind, 'over the network', 'p99 / median']
    cells = []
    for both in _by_memory(rows, 'network').values():
        line = [_title(both[LOCKED]), _ms(both[LOCKED]['bare']), str(both[LOCKED]['aim_ms'])]
        for row in (both[LOCKED], both[ORDINARY]):
            over, tail = f'{row["over_ms"]:.2f}', f'{row["p99_over_median"]:.2f}'
            line += [_ms(row['frame']), _missed(over, row['over_ms'] > row['aim_ms'])]
            line.append(_missed(tail, row['p99_over_median'] > 1.5))
        cells.append(line)
    return table(titles, cells)


def _missed(text: str, missed: bool) -> str:
    return f'**{text}**' if missed else text


def peers(document: Document) -> list[str]:
    """Ultralytics beside this package."""
    titles = ['float32', 'Ultralytics']
    for kind in ('page-locked frame', 'ordinary frame'):
        titles += [f'this package, {kind}', 'times']
    ours = _by_memory(_results(document, *LATENCY), 'network')
    cells = []
    for row in _results(document, 'ultralytics'):
        line = [_title({**row, 'objects': None}).removesuffix(', float32'), _ms(row['frame'])]
        both = ours.get((row['network'],), {})
        for memory in (LOCKED, ORDINARY) if both else ():
            times = row['frame']['p50_ms'] / both[memory]['frame']['p50_ms']
            line += [_ms(both[memory]['frame']), _missed(f'{times:.1f}', times < 4)]
        cells.append(line)
    return table(titles, cells)


def cameras(document: Document) -> list[str]:
    """Eight cameras."""
    titles = ['eight cameras', 'how', 'network alone, frames a second']
    for kind in ('page-locked frames', 'ordinary frames'):
        titles += [kind, 'of the network alone', 'batch to results']
    titles.append('GPU memory')
    cells = []
    for (_, how), both in _by_memory(_results(document, 'cameras'), 'network', 'how').items():
        bare = both[LOCKED]['bare_frames_per_second']
        line = [_title(both[LOCKED]), how, f'{bare:.0f}']
        for row in (both[LOCKED], both[ORDINARY]):
            share = row['share_of_bare']
            line += [f'{row["frames_per_second"]:.0f}', _missed(f'{share:.0%}', share < 0.85)]
            line.append(f'{_ms(row["latency"])} ms')
        cells.append([*line, f'{both[ORDINARY]["device_bytes"] / 1e6:.0f} MB'])
    return table(titles, cells)


def elsewhere(document: Document) -> list[str]:
    """The same weights by other means: frame to boxes, or the network alone."""
    plain, torch = 'onnxruntime used plainly', 'torch'
    rows = [(plain, row) for row in _results(document, plain)]
    rows += [(row['by'], row) for row in _results(document, torch)]
    cells = (
        [_title(row), by, _ms(row['bare']), _ms(row['frame']) if 'frame' in row else '']
        for by, row in rows
    )
    return table(['network', 'by', 'network alone', 'frame to boxes'], cells)


def memory(document: Document) -> list[str]:
    """What cameras take, and what a long run changes."""
    lines = []
    for row in _results(document, 'memory of cameras'):
        used = {int(count): nbytes for count, nbytes in row['device_bytes'].items()}
        of_each = row['of each further camera'] / 1e6
        lines.append(
            f'- {_title(row)}, {row["how"]}: {of_each:.0f} MB of the GPU for each further camera '
            f'(one camera {used[1] / 1e6:.0f} MB, eight {used[8] / 1e6:.0f} MB, network included).'
        )
    for row in _results(document, 'random sizes'):
        host = row['host_bytes_moved'] / 1e6
        marks = row['frames_free_rss']
        first = ''
        if len(marks) > 1:
            gpu_mb, host_mb = (
                (marks[0][1] - marks[1][1]) / 1e6,
                (marks[1][2] - marks[0][2]) / 1e6,
            )
            first = (
                f' The first {marks[1][0]:,} took {gpu_mb:.0f} MB of the GPU and {host_mb:.0f} MB '
                'of the host, for good.'
            )
        lines.append(
            f'- {row["frames"]:,} frames of random sizes up to 1920x1080, in batches of one to '
            f'eight, in {row["seconds"]:.0f} s.{first} From then on memory of the GPU moved by '
            f'{row["device_bytes_moved"]} bytes, of the host by {host:.1f} MB.'
        )
    return lines


def aims(document: Document) -> list[str]:
    """What was aimed at, and the range that was reached in either memory."""
    latencies, peer_times = _results(document, *LATENCY), _results(document, 'ultralytics')
    ours = _by_memory(latencies, 'network')
    cells = []
    for aim, task in (
        ('boxes at most 0.4 ms over the network', 'detect'),
        ('masks at most 0.6 ms over it', 'instance'),
        ('a class map with colours at most 0.6 ms over it', 'coloured'),
    ):
        rows = [row for row in latencies if task in row['network']]
        cells.append([aim, *_ranges(rows, lambda row: row['over_ms'], '{:.2f}')])
    tail = 'p99 at most 1.5 times the median'
    cells.append([tail, *_ranges(latencies, lambda row: row['p99_over_median'], '{:.2f}')])
    times = [
        {'memory': memory, 'times': row['frame']['p50_ms'] / one['frame']['p50_ms']}
        for row in peer_times
        for memory, one in ours.get((row['network'],), {}).items()
    ]
    faster = "at least 4 times as fast as Ultralytics' predict()"
    cells.append([faster, *_ranges(times, lambda row: row['times'], '{:.1f}')])
    shares = [row for row in _results(document, 'cameras') if row['how'] == 'one batch']
    eight = 'eight cameras in a batch at 85 % of the network alone or more'
    cells.append([eight, *_ranges(shares, lambda row: row['share_of_bare'], '{:.0%}')])
    return table(['aim', 'reached with page-locked frames', 'with ordinary frames'], cells)


def _ranges(rows: Sequence[Row], value: Callable[[Row], float], text: str) -> tuple[str, str]:
    """From the least to the greatest value, for each memory."""
    found = []
    for memory in (LOCKED, ORDINARY):
        values = [value(row) for row in rows if row['memory'] == memory]
        ends = [text.format(end) for end in (min(values), max(values))] if values else []
        found.append(' to '.join(dict.fromkeys(ends)))
    return found[0], found[1]


def short(document: Document) -> list[str]:
    """The README's table."""
    chosen = ('street_detect', 'street_instance', 'street_semantic, coloured', 'n_detect_fp32')
    rows = _results(document, *LATENCY)
    found = _by_memory(rows, 'network')
    cells = []
    for name in chosen:
        both = found.get((name,))
        if both is not None:
            shipped, *rest = _title(both[LOCKED]).split(',')
            title = ','.join((f'`{shipped}`' if name.startswith('street') else shipped, *rest))
            times = (both[LOCKED]['bare'], both[LOCKED]['frame'], both[ORDINARY]['frame'])
            cells.append([title, *(f'{_ms(spread)} ms' for spread in times)])
    titles = ['network', 'network alone', 'frame to result, as nodes take frames']
    return table([*titles, 'frame in ordinary memory'], cells)


BLOCKS: dict[str, tuple[str, Callable[[Document], list[str]]]] = {
    'latency': ('docs/performance.md', latency),
    'peers': ('docs/performance.md', peers),
    'cameras': ('docs/performance.md', cameras),
    'elsewhere': ('docs/performance.md', elsewhere),
    'memory': ('docs/performance.md', memory),
    'aims': ('docs/performance.md', aims),
    'short': ('README.md', short),
}
"""The file and the maker of each part between `<!-- gpu_frame: NAME -->` and `<!-- end -->`."""


def rewrite_docs(document: Document, root: Path) -> None:
    """Put the tables where the documentation has a place for them.

    Raises:
        ValueError: a place is missing.
    """
    for name, (file, make) in BLOCKS.items():
        path = root / file
        text, count = replaced(path.read_text(), name, make(document))
        if count != 1:
            raise ValueError(f'{file} has {count} places for the table {name!r}')
        path.write_text(text)


def replaced(text: str, name: str, lines: Sequence[str]) -> tuple[str, int]:
    """A text with a part's new content, and how often the part was there."""
    begin, end = f'<!-- gpu_frame: {name} -->', '<!-- end -->'
    pattern = re.compile(f'{re.escape(begin)}.*?{re.escape(end)}', re.DOTALL)
    content = '\n'.join((begin, '', *lines, '', end))
    return pattern.subn(lambda _: content, text)
