import argparse

import pytest

from trt_perception.cli.quantities import (
    age_in_seconds,
    batch_range,
    shown_age,
    shown_bytes,
    size_in_bytes,
    size_range,
)


@pytest.mark.parametrize(
    ('text', 'size'),
    [
        ('0', 0),
        ('1000', 1000),
        ('512MiB', 512 << 20),
        ('2GB', 2_000_000_000),
        ('1.5g', 1_500_000_000),
        ('4 KiB', 4096),
        ('100B', 100),
    ],
)
def test_sizes(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize('text', ['', 'MB', '-1', '1TB', '1.2.3', 'nan', '5 apples', 'iB'])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is not a size such as 512MiB'):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ('text', 'age'), [('0s', 0), ('90m', 5400), ('12h', 43200), ('30d', 2592000), ('2 W', 1209600)]
)
def test_ages(text, age):
    assert age_in_seconds(text) == age


@pytest.mark.parametrize('text', ['', '30', 'd', '-1d', '1y'])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is not an age such as'):
        age_in_seconds(text)


@pytest.mark.parametrize(('text', 'batch'), [('1', (1, 1, 1)), ('1:4:8', (1, 4, 8))])
def test_batches(text, batch):
    assert batch_range(text) == batch


@pytest.mark.parametrize('text', ['', '0', '1:2', '4:1:8', '1:8:4', 'a:b:c', '1:2:3:4', '-1'])
def test_what_is_no_batch_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'MIN:OPT:MAX|MIN <= OPT'):
        batch_range(text)


@pytest.mark.parametrize(
    ('text', 'sizes'),
    [
        ('640x384', ((640, 384),) * 3),
        ('32X64:64x64:96x128', ((32, 64), (64, 64), (96, 128))),
    ],
)
def test_size_ranges(text, sizes):
    assert size_range(text) == sizes


@pytest.mark.parametrize(
    'text',
    ['', '640', '640x', 'x384', '0x32', '1x1:2x2', '64x64:32x96:96x96', '1x1:2x2:3x3:4x4', '-1x2'],
)
def test_what_is_no_size_range_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'WxH:WxH:WxH|MIN <= OPT'):
        size_range(text)


def test_quantities_are_shown_with_the_unit_that_fits():
    assert [shown_bytes(n) for n in (0, 999, 1500, 4_100_000, 2e9, 5e12)] == [
        '0 B', '999 B', '1.5 kB', '4.1 MB', '2.0 GB', '5000.0 GB',
    ]  # fmt: skip
    assert [shown_age(s) for s in (0, 40, 300, 7200, 12 * 86400)] == [
        'now', '40 s', '5 min', '2 h', '12 d',
    ]  # fmt: skip
