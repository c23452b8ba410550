"""Every test of a kernel runs on the host and, where there is one, on a GPU."""

import pytest

from kernel_execution import OnGpu, OnHost


@pytest.fixture(
    scope='module',
    params=[pytest.param(OnHost, id='host'), pytest.param(OnGpu, id='gpu', marks=pytest.mark.gpu)],
)
def executor(request, tmp_path_factory):
    """The host's libraries lie in one folder for all tests; so do the GPU's cubins."""
    folder = tmp_path_factory.getbasetemp() / f'kernels-{request.node.name[:1]}'
    folder.mkdir(mode=0o700, exist_ok=True)
    run = request.param(folder)
    yield run
    run.close()


@pytest.fixture(scope='module')
def gpu(tmp_path_factory):
    """A GPU, for what the host cannot do: CUDA graphs."""
    pytest.importorskip('cuda.bindings.driver', reason='graphs need cuda-bindings')
    run = OnGpu(tmp_path_factory.mktemp('cubins'))
    yield run
    run.close()
