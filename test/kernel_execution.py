"""Where the kernels' tests run them: on the host, from the same source, or on a GPU."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from trt_perception.gpu.graphs import CudaGraph
from trt_perception.kernels.compiling import FOLDER
from trt_perception.kernels.launching import DeviceKernels

GUARD = 512
"""Bytes before and behind each buffer that no kernel may change."""

FLAGS = (
    *('-std=c++17', '-O2', '-ffp-contract=off', '-fno-ipa-reference', '-fPIC', '-shared'),
    *('-fsanitize=undefined,float-cast-overflow', '-fsanitize-undefined-trap-on-error'),
    *('-U_FORTIFY_SOURCE', '-Wall', '-Wno-unknown-pragmas', '-x', 'c++'),
    '-DTRT_PERCEPTION_ON_HOST',
)
NOISE = np.random.default_rng(0).integers(1, 256, 1 << 16, np.uint8)
"""What fresh memory holds; kernels must not rely on zeros."""


def noise(nbytes):
    return np.resize(NOISE, nbytes)


class OnHost:
    """Runs kernels by g++ and host_execution.h. Addresses are those of NumPy arrays."""

    stream = None
    largest = (7680, 270)
    """Pixels of an image that is not too much for it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which('g++') is None:
            pytest.skip('there is no g++ to compile the kernels for the host')
        self._folder = folder
        self._libraries = {}
        self._buffers = {}
        self._kept = []
        self.seed = 0

    def _library(self, source):
        if source not in self._libraries:
            out = self._folder / f'{source}.so'
            headers = Path(__file__).parent / 'kernels'
            if out.exists():  # of another module of tests
                self._libraries[source] = ctypes.CDLL(str(out))
                return self._libraries[source]
            done = subprocess.run(
                ['g++', *FLAGS, f'-I{headers}', '-o', out, FOLDER / f'{source}.cu'],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert 'warning' not in done.stderr, done.stderr
            self._libraries[source] = ctypes.CDLL(str(out))
        return self._libraries[source]

    def launch(self, source, kernel, grid, threads, call, stream):
        library = self._library(source)
        assert call.dtype.itemsize == getattr(library, f'{kernel}_bytes')(), 'another layout'
        extents = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*threads)
        parameters = ctypes.create_string_buffer(call.tobytes(), call.dtype.itemsize)
        self.seed += 1
        refused = getattr(library, kernel)(*extents, parameters, ctypes.c_uint(self.seed))
        reasons = {1: 'a thread waits for others that have ended', 2: 'too many threads'}
        assert refused == 0, f'{kernel}: {reasons[refused]}'

    def keep(self, data):
        kept = np.ascontiguousarray(data)
        self._kept.append(kept)
        return kept.__array_interface__['data'][0]

    def allocate(self, nbytes):
        memory = noise(nbytes + 2 * GUARD + 256)
        start = memory.__array_interface__['data'][0]
        offset = -(start + GUARD) % 256 + GUARD
        self._buffers[start + offset] = memory, offset, nbytes
        return start + offset

    def upload(self, data):
        data = np.ascontiguousarray(data)
        address = self.allocate(data.nbytes)
        memory, offset, nbytes = self._buffers[address]
        memory[offset : offset + nbytes] = data.reshape(-1).view(np.uint8)
        return address

    def download(self, address, dtype, shape):
        memory, offset, nbytes = self._buffers[address]
        fresh = noise(len(memory))
        np.testing.assert_array_equal(memory[:offset], fresh[:offset], 'written before the start')
        behind = slice(offset + nbytes, None)
        np.testing.assert_array_equal(memory[behind], fresh[behind], 'written behind the end')
        content = memory[offset : offset + nbytes].view(dtype).reshape(-1)
        return content[: int(np.prod(shape))].reshape(shape).copy()

    def check_rim(self, address):
        """Nothing was written beside the memory at an address."""
        self.download(address, np.uint8, (0,))

    def free(self):
        self._buffers.clear()

    def close(self):
        self.free()


@functools.cache
def primary_context():
    """One for good: pycuda frees nothing under another object for the same context."""
    import pycuda.driver

    return pycuda.driver.Device(0).retain_primary_context()


class OnGpu:
    """Runs kernels on the first GPU through pycuda."""

    largest = (7680, 4320)

    def __init__(self, folder: Path) -> None:
        driver = pytest.importorskip('pycuda.driver', reason='pycuda does not start here')
        driver.init()
        if driver.Device.count() == 0:
            pytest.skip('there is no GPU')
        self.driver = driver
        device = driver.Device(0)
        self._context = primary_context()
        self._context.push()
        self.stream = driver.Stream()
        capability = tuple(device.compute_capability())
        # A folder that is named outlives the run, so that nothing is compiled in the next one.
        kept = None if os.environ.get('TRT_PERCEPTION_KERNELS') else folder
        self.kernels = DeviceKernels(driver, capability, kept)
        self._buffers = {}

    def launch(self, source, kernel, grid, threads, call, stream):
        self.kernels.launch(source, kernel, grid, threads, call, stream)

    def keep(self, data):
        return self.kernels.keep(data)

    def allocate(self, nbytes):
        # No noise: initcheck is to find what is read before it was written.
        memory = self.driver.mem_alloc(max(nbytes, 1))
        self._buffers[int(memory)] = memory, nbytes
        return int(memory)

    def upload(self, data):
        data = np.ascontiguousarray(data)
        address = self.allocate(data.nbytes)
        self.driver.memcpy_htod(address, data)
        return address

    def download(self, address, dtype, shape):
        self.stream.synchronize()
        out = np.empty(shape, dtype)
        if out.nbytes:
            self.driver.memcpy_dtoh(out, address)
        return out

    def check_rim(self, address):
        """Left to compute-sanitizer."""

    def replayed(self, enqueue, address, nbytes):
        """What is at an address after a graph of the work has run; uint8 [nbytes]."""
        graph = CudaGraph(self.stream, enqueue)
        self.driver.memset_d8(address, 0, nbytes)
        for _ in range(3):
            graph.launch()
        content = self.download(address, np.uint8, nbytes)
        graph.close()
        return content

    def free(self):
        for memory, _ in self._buffers.values():
            memory.free()
        self._buffers.clear()

    def close(self):
        self.free()
        self.kernels.close()
        self.stream = None
        self._context.pop()
