"""What the pages say of names, defaults and commands is so in the code."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trt_perception.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', ROOT / 'benchmarks' / 'README.md']
PAGES += sorted((ROOT / 'docs').glob('*.md'))
MONITORING = ROOT / 'docs' / 'monitoring.md'

# Values of config/ that are meant to be others than those of a node that is started by itself.
OTHERWISE = {
    ('camera', 'rate'): 10.0,
    ('camera', 'size'): '1280x720',
    ('overlay', 'models'): ['street_detect', 'street_instance', 'street_semantic'],
}


def section(page: Path, title: str) -> str:
    return page.read_text().split(f'\n## {title}\n')[1].split('\n## ')[0]


def first_cells(table: str) -> set[str]:
    """The names in the first column of tables."""
    rows = [line.split('|')[1] for line in table.splitlines() if line.startswith('|')]
    return {name for row in rows for name in re.findall(r'`([^`]+)`', row)}


def diagnostic_keys() -> Iterator[str]:
    """Of every function of the nodes that gives values for /diagnostics."""
    for file in (ROOT / 'trt_perception' / 'nodes').glob('*.py'):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef) or 'values' not in function.name:
                continue
            for node in ast.walk(function):
                keys = node.keys if isinstance(node, ast.Dict) else []
                if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                    keys = [node.slice]
                yield from (k.value for k in keys if isinstance(k, ast.Constant))


def test_every_value_in_diagnostics_is_explained() -> None:
    keys = set(diagnostic_keys())
    told = first_cells(section(MONITORING, '/diagnostics'))
    assert {'rate', 'GPU power', 'images late'} <= keys
    assert keys - told == set()


def test_every_metric_is_listed_and_exists() -> None:
    """By the names in the source: without a GPU no node gives all of them."""
    source = (ROOT / 'trt_perception' / 'nodes' / 'metrics.py').read_text()
    # Of one family its name and what it is: in a call, or in the list of the machine's figures.
    families = re.findall(r"(_gauge|_counter|)\(\s*'(\w+)', (?:'[A-Z1]|_STAGE_HELP)", source)
    given = {f'{name}_total' if kind == '_counter' else name for kind, name in families}
    given.add('engine_info')
    listed = first_cells(section(MONITORING, 'Prometheus'))
    assert 'gpu_power_watts' in given
    assert listed == given


def nodes_with_parameters() -> dict[str, Any]:
    pytest.importorskip('rclpy', reason='needs ROS 2: make test')
    from trt_perception.nodes.parameter_rows import parameter_rows
    from trt_perception.nodes.parameter_table import NODES

    return {
        node.removesuffix('_node'): {row.name: row for row in parameter_rows(kind)}
        for node, kind in NODES.items()
    }


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize('file', sorted((ROOT / 'config').glob('*.yaml')), ids=lambda f: f.stem)
def test_configuration_holds_the_defaults(file: Path) -> None:
    declared = nodes_with_parameters()[file.stem]
    ((key, values),) = yaml.safe_load(file.read_text()).items()
    assert key == f'/**/{file.stem}_node'
    for name, value in values['ros__parameters'].items():
        default = plain(declared[name].default)
        assert value == OTHERWISE.get((file.stem, name), default), name


@pytest.mark.parametrize('file', sorted((ROOT / 'config').glob('*.yaml')), ids=lambda f: f.stem)
def test_what_is_commented_out_in_a_configuration_exists(file: Path) -> None:
    declared = nodes_with_parameters()[file.stem]
    names = re.findall(r'^    # (\w+): [^ ].*$', file.read_text(), re.MULTILINE)
    assert set(names) - set(declared) == set()


def test_thresholds_have_the_defaults_that_are_named() -> None:
    declared = nodes_with_parameters()['detect']
    rows = re.findall(r'\| `(\w+)` \| ([\d.]+)[^|]*\|', section(MONITORING, '/diagnostics'))
    assert len(rows) == 4
    for name, value in rows:
        assert float(value) == declared[name].default, name


def test_the_readme_has_every_launch_argument() -> None:
    from trt_perception.nodes.launching import ARGUMENTS
    from trt_perception.nodes.launching_cameras import CAMERAS_ARGUMENTS

    text = (ROOT / 'README.md').read_text().split('`--show-args`')[1].split('\n## ')[0]
    table = text.split('\n\n')[1]
    assert first_cells(table) == {*ARGUMENTS, *CAMERAS_ARGUMENTS}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    folders = '|'.join(p.name for p in ROOT.iterdir() if p.is_dir() and p.name[0] != '.')
    rooms = '|'.join(p.name for p in (ROOT / 'trt_perception').iterdir() if p.is_dir())
    named = re.findall(rf'`((?:{folders}|{rooms})/[\w/.-]+\.\w+)`', page.read_text())
    places = (ROOT, ROOT / 'trt_perception', page.parent)
    assert [n for n in named if not any((place / n).exists() for place in places)] == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    links = re.findall(r'\]\(([^):#]*)#([^)]+)\)', page.read_text())
    places = [(page.parent / name if name else page, anchor) for name, anchor in links]
    assert [anchor for place, anchor in places if anchor not in anchors(place)] == []


def test_every_page_that_the_code_names_exists() -> None:
    files = [*(ROOT / 'trt_perception').rglob('*.py'), *(ROOT / 'config').glob('*.*')]
    named = {n for file in files for n in re.findall(r'docs/\w+\.md', file.read_text())}
    assert 'docs/transport.md' in named
    assert [name for name in named if not (ROOT / name).exists()] == []


def commands_in(page: Path) -> Iterator[tuple[str, str]]:
    """Subcommand and rest of the lines that call `trt_perception` in code blocks."""
    text = re.sub(r' \\\n\s*', ' ', page.read_text())
    for line in re.findall(r'^    (?:.*&& )?trt_perception (.*)$', text, re.MULTILINE):
        command, _, rest = line.partition(' ')
        yield command, re.split(r'\s#\s|\s\|\s', rest)[0]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_option_in_an_example_exists(page: Path) -> None:
    wrong = []
    for command, rest in commands_in(page):
        if not re.fullmatch('[a-z]+', command):
            continue
        parser = argparse.ArgumentParser()
        importlib.import_module(f'trt_perception.cli.{command}').add_arguments(parser)
        known = {name for action in parser._actions for name in action.option_strings}
        known |= {
            name
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
            for one in action.choices.values()
            for deeper in one._actions
            for name in deeper.option_strings
        }
        used = re.findall(r'(?<![\w-])(--?[a-z][\w-]*)', rest)
        wrong += [f'{command} {name}' for name in used if name not in known]
    assert wrong == []


def test_examples_are_found_and_name_commands() -> None:
    found = {command for page in PAGES for command, _ in commands_in(page)}
    assert {'top', 'replay', 'doctor'} <= found & set(COMMANDS)


RECORDED = sorted((ROOT / 'benchmarks' / 'results').glob('*.json'))


@pytest.mark.parametrize(
    'file',
    [f for f in RECORDED if isinstance(json.loads(f.read_text()), dict)],
    ids=lambda file: file.stem,
)
def test_a_recorded_run_is_told_as_it_was_called(file: Path) -> None:
    command = json.loads(file.read_text()).get('command')
    if command is None:
        return
    text = ' '.join(' '.join(page.read_text() for page in PAGES).replace('\\\n', ' ').split())
    called = str(command).partition(' --out')[0].partition(' --note')[0]
    assert called in text


def medians(name: str) -> dict[tuple[str, str, float], tuple[float, float, int]]:
    """Of a record of publish_to_result.py: median, 99th percentile in ms and images lost."""
    rows = json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())['rows']
    return {
        (row['case'], row['size'], row['rate_hz']): (row['p50_ms'], row['p99_ms'], row['lost'])
        for row in rows
    }


def test_the_readme_has_the_recorded_latencies() -> None:
    record = medians('publish_to_result')
    text = (ROOT / 'README.md').read_text()
    rows = re.findall(r'^\| (\d+x\d+) \| (\d+) Hz \| (.+) \| (.+) \| (.+) \|$', text, re.MULTILINE)
    assert len(rows) == 4
    for size, rate, *cells in rows:
        cases = ('do_nothing', 'detect_node', "detect_node, middleware's defaults")
        for case, cell in zip(cases, cells, strict=True):
            p50, p99, lost = record[case, size, float(rate)]
            told = [float(number) for number in re.findall(r'\d+\.\d+', cell)]
            assert told == pytest.approx([p50, p99], abs=0.06), (case, size, rate)
            assert (f'{lost} of' in cell) == (lost > 0)


def test_the_page_on_performance_has_the_recorded_latencies_with_a_gpu() -> None:
    record = medians('publish_to_result_gpu')
    cases = {
        'do-nothing node, the floor': 'do_nothing',
        'street_detect': 'street_detect, GPU',
        'street_instance, mask': 'street_instance, GPU',
        'street_semantic, mask': 'street_semantic, GPU',
        'light network, 80 detections': 'light network, GPU',
        'the same on the CPU, one thread': 'light network, CPU',
    }
    text = section(
        ROOT / 'docs' / 'performance.md', "From a camera's message to the result, with a GPU"
    )
    for title, case in cases.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f'| {title} |'))
        cells = [cell.strip() for cell in row.split('|')]
        told = [float(cells[n]) for n in (3, 4, 6, 7)]
        small, large = (record[case, size, 30.0][:2] for size in ('640x480', '1920x1080'))
        assert told == pytest.approx([*small, *large], abs=0.006), title
