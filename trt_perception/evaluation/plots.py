"""Plots of an evaluation as SVG: accuracy against latency, bars by class, confusion matrix.

SVG needs no plotting library: shapes and text are elements of a document, and browsers and
GitHub show it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from trt_perception.evaluation.report import FIGURES, Document, label_of

_COLOURS = ('#2b6cb0', '#dd6b20', '#2f855a', '#805ad5', '#b83280', '#718096')
_INK, _GRID = '#1a202c', '#cbd5e0'
_LETTER = 7.0
"""Width of a letter of the font used, about, pixels."""


def plots_of(document: Document) -> dict[str, str]:
    """SVG documents by name: 'latency', 'classes_PART' and 'confusion_NETWORK'."""
    found = {'latency': accuracy_latency(document)}
    for part in document['networks'][0]['accuracy']:
        found[f'classes_{part}'] = class_bars(document, part)
    for network in document['networks']:
        label = label_of(document, network)
        name = label.replace(' ', '_')
        found[f'confusion_{name}'] = confusion(document, network)
    return found


def accuracy_latency(document: Document) -> str:
    """The first figure of accuracy over the median latency, one point a network."""
    networks = document['networks']
    part, key, title = next(f for f in FIGURES if f[0] in networks[0]['accuracy'])
    across = [network['frame_ms']['p50'] for network in networks]
    up = [100 * (network['accuracy'][part][key] or 0.0) for network in networks]
    svg = _document(640, 400, f'{document["model"]}: {title} against latency')
    left, top, width, height = 70.0, 50.0, 520.0, 280.0
    right = max(across) * 1.15
    low, high = _span(up)
    for step in range(6):
        share = step / 5
        x, y = left + width * share, top + height * (1 - share)
        _line(svg, (left, y), (left + width, y), _GRID)
        _text(svg, left - 8, y + 4, f'{low + (high - low) * share:.2f}', 'end')
        _text(svg, x, top + height + 18, f'{right * share:.1f}', 'middle')
    _text(svg, left + width / 2, top + height + 42, 'median milliseconds a frame', 'middle')
    for index, (network, x_value, y_value) in enumerate(zip(networks, across, up, strict=True)):
        x = left + width * x_value / right
        y = top + height * (1 - (y_value - low) / (high - low))
        _dot(svg, x, y, _COLOURS[index % len(_COLOURS)])
        _text(svg, x + 9, y - 7, label_of(document, network), 'start')
    return _written(svg)


def class_bars(document: Document, part: str) -> str:
    """One group a class, one bar a network, 0 to 100 points."""
    networks = document['networks']
    tables = [network['accuracy'][part]['by_class'] for network in networks]
    names = list(tables[0])
    left = 30 + _LETTER * max(map(len, names), default=0)
    thick, gap = 12.0, 10.0
    group = thick * len(networks) + gap
    height = 70 + group * len(names)
    svg = _document(left + 520, height + 20, f'{document["model"]}: {part} by class, points')
    for index, network in enumerate(networks):
        x = left + 110 * index
        _box(svg, x, 34, 10, 10, _COLOURS[index % len(_COLOURS)])
        _text(svg, x + 15, 43, label_of(document, network), 'start')
    for row, name in enumerate(names):
        y = 60 + row * group
        _text(svg, left - 8, y + (group - gap) / 2 + 4, name, 'end')
        for index, table in enumerate(tables):
            value = table[name]
            length = 420 * (value or 0.0)
            place = y + index * thick
            _box(svg, left, place, length, thick - 2, _COLOURS[index % len(_COLOURS)])
            shown = 'nothing to find' if value is None else f'{100 * value:.1f}'
            _text(svg, left + length + 5, place + 9, shown, 'start', 10)
    return _written(svg)


def confusion(document: Document, network: Document) -> str:
    """Rows are true classes, columns found ones; shares of a row, darker for more."""
    matrix = network['confusion']
    columns = [*document['classes'], 'none']
    rows = columns[: len(matrix)]
    cell = 38.0
    margin = 40 + _LETTER * max(map(len, columns))
    title = f'{document["model"]} {label_of(document, network)}: true class (row), found (column)'
    width = max(margin + cell * len(columns) + 20, 9 * len(title))
    svg = _document(width, margin + cell * len(rows) + 50, title)
    top = margin + 30
    for column, name in enumerate(columns):
        x = margin + cell * (column + 0.6)
        turned = {'transform': f'rotate(-90 {x:.1f} {top - 8:.1f})'}
        _text(svg, x, top - 8, name, 'start', extra=turned)
    for row, name in enumerate(rows):
        y = top + cell * row
        _text(svg, margin - 8, y + cell * 0.6, name, 'end')
        total = sum(matrix[row])
        for column, count in enumerate(matrix[row]):
            share = count / total if total else 0.0
            shade = round(255 * (1 - share))
            x = margin + cell * column
            _box(svg, x, y, cell, cell, f'rgb({shade},{min(255, shade + 30)},255)', _GRID)
            if count:
                ink = '#ffffff' if share > 0.5 else _INK
                shown = f'{100 * share:.1f}' if share >= 0.0005 else '<0.1'
                _text(svg, x + cell / 2, y + cell * 0.6, shown, 'middle', 10, ink)
    return _written(svg)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis: with room around the values, at least one point long, within 0..100."""
    room = max((max(values) - min(values)) * 0.3, 0.5)
    return max(min(values) - room, 0.0), min(max(values) + room, 100.0)


def _document(width: float, height: float, title: str) -> Element:
    svg = Element(
        'svg',
        {
            'xmlns': 'http://www.w3.org/2000/svg',
            'viewBox': f'0 0 {width:.0f} {height:.0f}',
            'width': f'{width:.0f}',
            'height': f'{height:.0f}',
            'font-family': 'sans-serif',
        },
    )
    SubElement(svg, 'title').text = title
    _box(svg, 0, 0, width, height, '#ffffff')
    _text(svg, 14, 22, title, 'start', 14)
    return svg


def _text(
    svg: Element,
    x: float,
    y: float,
    text: str,
    anchor: str,
    size: int = 12,
    ink: str = _INK,
    extra: dict[str, str] | None = None,
) -> None:
    place = {'x': f'{x:.1f}', 'y': f'{y:.1f}', 'text-anchor': anchor, 'font-size': str(size)}
    SubElement(svg, 'text', {**place, 'fill': ink, **(extra or {})}).text = text


def _line(svg: Element, start: tuple[float, float], end: tuple[float, float], ink: str) -> None:
    ends = {'x1': start[0], 'y1': start[1], 'x2': end[0], 'y2': end[1]}
    SubElement(svg, 'line', {**{k: f'{v:.1f}' for k, v in ends.items()}, 'stroke': ink})


def _box(
    svg: Element,
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    stroke: str = 'none',
) -> None:
    extent = {'x': x, 'y': y, 'width': width, 'height': height}
    shape = {key: f'{value:.1f}' for key, value in extent.items()}
    SubElement(svg, 'rect', {**shape, 'fill': fill, 'stroke': stroke})


def _dot(svg: Element, x: float, y: float, fill: str) -> None:
    SubElement(svg, 'circle', {'cx': f'{x:.1f}', 'cy': f'{y:.1f}', 'r': '6', 'fill': fill})


def _written(svg: Element) -> str:
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding='unicode') + '\n'
