"""What tests ask of the middleware that they run on."""

from __future__ import annotations

import os

import pytest

_RMW = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'

fast_dds = pytest.mark.skipif('fastrtps' not in _RMW, reason=f'{_RMW} is not Fast DDS')
cyclone_dds = pytest.mark.skipif('cyclone' not in _RMW, reason=f'{_RMW} is not Cyclone DDS')
numbered = pytest.mark.skipif(
    'cyclone' in _RMW, reason="Cyclone DDS does not tell the publisher's sequence number"
)
