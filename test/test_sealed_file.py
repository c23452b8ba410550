import hashlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trt_perception.errors import EngineFileError
from trt_perception.sealed_file import (
    open_private_file,
    open_private_folder,
    read_header,
    read_sealed,
    write_sealed,
)

HEADER = {'label': 'street', 'sizes': [1, 2, 3]}
PLAN = bytes(range(256)) * 4


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'private').mkdir(mode=0o700)
    descriptor = open_private_folder(tmp_path / 'private', create=False)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def sealed(folder):
    write_sealed(folder, 'file', HEADER, PLAN)
    with open(os.open('file', os.O_RDONLY, dir_fd=folder), 'rb') as file:
        return file.read()


def reread(content):
    """Read `content` back from a file that lives in memory: thousands of them are quick."""
    file = os.memfd_create('sealed')
    try:
        os.write(file, content)
        return read_sealed(file)
    finally:
        os.close(file)


def test_an_empty_payload_survives(folder):
    write_sealed(folder, 'file', {}, b'')
    file = open_private_file(folder, 'file')
    assert read_sealed(file) == ({}, b'')
    os.close(file)


def test_what_was_written_is_read(folder, sealed):
    assert reread(sealed) == (HEADER, PLAN)
    file = open_private_file(folder, 'file')
    assert read_header(file).header == HEADER
    assert os.fstat(file).st_mode & 0o777 == 0o600
    os.close(file)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3000), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_any_payload_and_header_survive(folder, payload, header):
    write_sealed(folder, 'file', header, payload)
    file = open_private_file(folder, 'file')
    assert read_sealed(file) == (header, payload)
    os.close(file)


def test_every_single_flipped_bit_is_found(sealed):
    """Every bit of magic, length, header and digest, and of the first bytes of the payload."""
    for bit in range(8 * (sealed.index(PLAN) + 8)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EngineFileError):
            reread(damaged)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_anywhere_is_found(sealed, data):
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    damaged = bytearray(sealed)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EngineFileError):
        reread(damaged)


def test_a_truncated_file_is_found_at_every_length(sealed):
    for length in range(len(sealed)):
        with pytest.raises(EngineFileError, match=r'damaged|not an engine file'):
            reread(sealed[:length])


@pytest.mark.parametrize('content', [b'', b'\0' * 4096, b'ftrt' * 1000, b'TRTPSEAL'])
def test_other_files_are_refused(content):
    with pytest.raises(EngineFileError):
        reread(content)


def test_bytes_behind_the_end_are_found(sealed):
    with pytest.raises(EngineFileError, match='1025 bytes behind the header, 1024 were written'):
        reread(sealed + b'x')


def test_a_header_of_another_form_is_told_from_damage():
    start = b'TRTPSEAL' + (2).to_bytes(4, 'little') + b'{}'
    with pytest.raises(EngineFileError, match='another version of this package'):
        reread(start + hashlib.sha256(start).digest())


@pytest.mark.parametrize('mode', [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(folder, sealed, tmp_path, mode):
    (tmp_path / 'private' / 'file').chmod(mode)
    with pytest.raises(EngineFileError, match=f'file can be written by other users .mode {mode:o}'):
        open_private_file(folder, 'file')


def test_a_link_is_refused_even_to_a_good_file(folder, sealed, tmp_path):
    (tmp_path / 'private' / 'link').symlink_to('file')
    with pytest.raises(EngineFileError, match='link is a symbolic link; delete it'):
        open_private_file(folder, 'link')


def test_a_pipe_is_refused_and_does_not_block(folder, tmp_path):
    os.mkfifo(tmp_path / 'private' / 'pipe', 0o600)
    with pytest.raises(EngineFileError, match='not a regular file'):
        open_private_file(folder, 'pipe')


@pytest.mark.parametrize('mode', [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path, mode):
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared').chmod(mode)
    with pytest.raises(EngineFileError, match=r'chmod 700 .*shared'):
        open_private_folder(tmp_path / 'shared', create=True)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_what_belongs_to_somebody_else_is_refused(folder, sealed, tmp_path):
    (tmp_path / 'foreign').mkdir(mode=0o700)
    os.chown(tmp_path / 'foreign', 12345, -1)
    with pytest.raises(EngineFileError, match='foreign belongs to user 12345'):
        open_private_folder(tmp_path / 'foreign', create=True)
    os.chown(tmp_path / 'private' / 'file', 12345, -1)
    with pytest.raises(EngineFileError, match='file belongs to user 12345'):
        open_private_file(folder, 'file')


def test_a_new_folder_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        os.close(open_private_folder(tmp_path / 'deep' / 'new', create=True))
    finally:
        os.umask(before)
    assert (tmp_path / 'deep' / 'new').stat().st_mode & 0o777 == 0o700


def test_a_missing_folder_is_not_made_unless_asked(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_private_folder(tmp_path / 'new', create=False)
    assert not (tmp_path / 'new').exists()


def test_numbers_of_numpy_become_plain_ones(folder):
    write_sealed(folder, 'file', {'error': np.float32(0.5), 'images': np.int64(3)}, b'')
    file = open_private_file(folder, 'file')
    assert read_header(file).header == {'error': 0.5, 'images': 3}
    os.close(file)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder, sealed, tmp_path):
    with pytest.raises(TypeError):
        write_sealed(folder, 'file', {'x': object()}, b'new')
    assert [path.name for path in (tmp_path / 'private').iterdir()] == ['file']
    assert (tmp_path / 'private' / 'file').read_bytes() == sealed
