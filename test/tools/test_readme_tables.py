"""Keeps the README's tables equal to what the nodes declare and publish."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / 'README.md'


def test_the_tables_are_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'readme_tables.py'), '--check'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_a_changed_table_is_noticed(tmp_path):
    copy = tmp_path / 'tools'
    copy.mkdir()
    (copy / 'readme_tables.py').write_text((ROOT / 'tools' / 'readme_tables.py').read_text())
    text = README.read_text()
    changed = text.replace('| `max_detections` |', '| `most_detections` |')
    assert changed != text
    (tmp_path / 'README.md').write_text(changed)
    done = subprocess.run(
        [sys.executable, str(copy / 'readme_tables.py'), '--check'], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'out of date' in done.stdout


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r'\]\(([^)#]+)', README.read_text())
    assert len(links) > 5
    missing = [link for link in links if '://' not in link and not (ROOT / link).exists()]
    assert missing == []
