import numpy as np
import pytest

from networks import write_scaling_detr
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.side_inputs import fed


@pytest.fixture
def network(tmp_path):
    path = write_scaling_detr(tmp_path / 'detr.onnx', [0, 0, 1, 0.5])
    runtime = OnnxRuntime(path)
    yield runtime
    runtime.close()


def test_without_rows_it_is_the_network_itself(network):
    assert fed(network, {}) is network


@pytest.mark.parametrize('batch', [1, 3])
def test_every_image_of_a_batch_gets_the_row(network, batch):
    runtime = fed(network, {'orig_target_sizes': np.array([[64, 48]])})
    assert [tensor.name for tensor in runtime.inputs] == ['images']
    assert runtime.outputs == network.outputs
    images = np.zeros((batch, 3, 48, 64), np.float32)
    outputs = runtime.infer({'images': images})
    assert outputs['boxes'].tolist() == [[[0, 0, 64, 24]]] * batch
    for name in ('backend', 'precision', 'fingerprint', 'max_batch'):
        assert getattr(runtime, name) == getattr(network, name)


def test_closing_it_closes_the_network(network):
    fed(network, {'orig_target_sizes': np.array([[64, 48]])}).close()
    with pytest.raises(Exception, match='closed'):
        network.infer({'images': np.zeros((1, 3, 48, 64), np.float32)})
