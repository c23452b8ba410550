"""What can be said of TensorRT's runtime without a device; see docs/verification.md."""

import sys

import pytest

from trt_perception.errors import BackendUnavailableError
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.tensorrt_backend import engine_opener
from trt_perception.runtime.tensorrt_flavour import Flavour


def test_without_pycuda_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycuda', None)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    with pytest.raises(BackendUnavailableError, match='pip install "pycuda'):
        DeviceNetwork(engine_opener(b'plan', Flavour('tensorrt', '10.3.0', None), 'fp16'))
