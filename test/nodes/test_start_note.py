"""How long a node that died soon after its start waits before the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from trt_perception.nodes import start_note
from trt_perception.nodes.start_note import FIRST_PAUSE_S, LONGEST_PAUSE_S, SHORT_LIFE_S, StartNote

COMMAND = ['detect_node', '--ros-args', '-r', '__ns:=/front']


@pytest.fixture
def note(tmp_path: Path) -> StartNote:
    return StartNote(COMMAND, tmp_path)


def died(folder: Path, *, started_ago_s: float, short_lives: int = 0, process: int | None = None):
    """Leave the note of a process that has ended."""
    if process is None:
        ended = subprocess.Popen([sys.executable, '-c', ''])
        ended.wait()
        process = ended.pid
    StartNote(COMMAND, folder).leave()
    [file] = folder.iterdir()
    file.write_text(f'{process} {time.monotonic() - started_ago_s} {short_lives}\n')


def test_without_a_note_nothing_waits(note, tmp_path):
    assert note.pause_s() == 0.0
    assert StartNote(COMMAND, tmp_path / 'missing').pause_s() == 0.0


def test_after_a_short_life_the_next_start_waits_and_each_time_longer(note, tmp_path):
    pauses = []
    for short_lives in range(12):
        died(tmp_path, started_ago_s=1.0, short_lives=short_lives)
        pauses.append(note.pause_s())
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_short_lives_are_counted_from_start_to_start(note, tmp_path):
    died(tmp_path, started_ago_s=1.0, short_lives=2)
    note.pause_s()
    note.leave()
    [file] = tmp_path.iterdir()
    assert file.read_text().split()[0] == str(os.getpid())
    assert file.read_text().split()[2] == '3'


def test_after_a_long_life_the_next_start_does_not_wait(note, tmp_path):
    died(tmp_path, started_ago_s=SHORT_LIFE_S + 1, short_lives=5)
    assert note.pause_s() == 0.0


def test_after_an_orderly_end_the_next_start_does_not_wait(note, tmp_path):
    note.leave()
    note.take_away()
    assert list(tmp_path.iterdir()) == []
    note.take_away()  # which another one may have done
    assert StartNote(COMMAND, tmp_path).pause_s() == 0.0


def test_a_process_that_lives_keeps_nobody_waiting(note, tmp_path):
    died(tmp_path, started_ago_s=1.0, process=os.getppid())
    assert note.pause_s() == 0.0


def test_a_number_that_is_used_again_at_once_is_no_process_that_lives(note, tmp_path):
    """As in a container, where the node is number 1 after each start."""
    died(tmp_path, started_ago_s=1.0, process=os.getpid())
    assert note.pause_s() == FIRST_PAUSE_S


def test_other_commands_and_domains_have_notes_of_their_own(note, tmp_path, monkeypatch):
    died(tmp_path, started_ago_s=1.0)
    assert StartNote([*COMMAND, '-r', '__node:=other'], tmp_path).pause_s() == 0.0
    monkeypatch.setenv('ROS_DOMAIN_ID', '97')
    assert StartNote(COMMAND, tmp_path).pause_s() == 0.0


@pytest.mark.parametrize('text', ['', 'x y z', '1 2', f'{2**40} 1e9 3', '-1 nan 0', '\0'])
def test_a_spoilt_note_is_none(note, tmp_path, text):
    note.leave()
    [file] = tmp_path.iterdir()
    file.write_text(text)
    assert note.pause_s() == 0.0


def test_a_note_that_cannot_be_written_is_no_fault(tmp_path):
    StartNote(COMMAND, tmp_path / 'missing').leave()
    precious = tmp_path / 'precious'
    precious.write_text('kept')
    note = StartNote(COMMAND, tmp_path)
    note._file.symlink_to(precious)
    note.leave()
    assert precious.read_text() == 'kept'


def test_notes_lie_in_the_folder_of_the_session_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    StartNote(COMMAND).leave()
    assert len(list(tmp_path.iterdir())) == 1
    assert start_note.FIRST_PAUSE_S < start_note.LONGEST_PAUSE_S


def test_a_folder_of_the_session_that_is_not_there_is_not_taken(tmp_path, monkeypatch):
    """As in a container that was given the variable and not the folder."""
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path / 'missing'))
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    StartNote(COMMAND).leave()
    assert len(list(tmp_path.iterdir())) == 1
