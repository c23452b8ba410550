"""Keeps the README's tables equal to what the nodes declare and publish."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / 'README.md'


def test_the_tables_are_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'readme_tables.py'), '--check'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize('file', ['README.md', 'docs/parameters.md'])
def test_a_changed_table_is_noticed(tmp_path, file):
    copied = (
        'tools/readme_tables.py',
        'tools/parameter_tables.py',
        'README.md',
        'docs/parameters.md',
    )
    for name in copied:
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text())
    text = (ROOT / file).read_text()
    changed = text.replace('| `max_detections` |', '| `most_detections` |')
    assert changed != text
    (tmp_path / file).write_text(changed)
    done = subprocess.run(
        [sys.executable, str(tmp_path / 'tools' / 'readme_tables.py'), '--check'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f'{Path(file).name}: tables are out of date')


@pytest.mark.parametrize(
    'page',
    [README, *sorted((ROOT / 'docs').glob('*.md')), *sorted(ROOT.glob('*/README.md'))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_link_leads_somewhere(page):
    links = re.findall(r'\]\(([^)#]+)', page.read_text())
    inside = [link for link in links if '://' not in link]
    assert [link for link in inside if not (page.parent / link).exists()] == []


def test_the_readme_leads_to_every_page():
    links = set(re.findall(r'\]\(([^)#]+)', README.read_text()))
    pages = {f'docs/{page.name}' for page in (ROOT / 'docs').glob('*.md')}
    assert pages - links == set()
