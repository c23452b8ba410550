"""What the names of Fast DDS's files tell, and who holds them."""

from __future__ import annotations

import fcntl

import pytest

from trt_perception.nodes.port_files import LISTENER, MEMORY, is_held, port_file


@pytest.mark.parametrize('name', ['', 'port7411', 'fastrtps_port', 'sem.fastrtps_port7411_mutex'])
def test_a_file_of_no_port_tells_nothing(name):
    assert port_file(name) is None


@pytest.mark.parametrize('maker', ['fastrtps', 'fastdds'])
@pytest.mark.parametrize('ending', [MEMORY, LISTENER, '_sl'])
def test_memory_and_locks_of_a_port_tell_its_number(maker, ending):
    port = f'{maker}_port7411'
    assert port_file(f'{port}{ending}') == (port, 7411, ending)


def test_a_file_is_held_as_long_as_its_lock_is(tmp_path):
    file = tmp_path / 'fastrtps_port7411_el'
    file.touch()
    with file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_held(str(file))
    assert not is_held(str(file))


def test_links_are_not_followed(tmp_path):
    link = tmp_path / 'fastrtps_port7411_el'
    link.symlink_to(tmp_path / 'missing')
    with pytest.raises(OSError, match='fastrtps_port7411_el'):
        is_held(str(link))
