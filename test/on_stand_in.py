"""Networks and kernels that run on the CPU, in the memory and streams of the stand-in driver."""

from __future__ import annotations

import numpy as np

from stand_in_driver import host_array
from trt_perception.frames import Frame
from trt_perception.gpu.owner import GpuOwner
from trt_perception.kernels.letterbox import DeviceImage
from trt_perception.pipeline.device_stages import KernelStages
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.selection import BackendChoice

CHOICE = BackendChoice('stand-in', 'a test')


class CpuDevice:
    """A network of onnxruntime on the CPU as a `DeviceRuntime`."""

    backend, precision = 'stand-in', 'fp32'

    def __init__(self, path, gpu, stream):
        self._gpu, self._stream = gpu, stream
        self._network = OnnxRuntime(path, threads=1)
        self.fingerprint = self._network.fingerprint
        self.max_batch = self._network.max_batch
        self.inputs, self.outputs = self._network.inputs, self._network.outputs
        self._known = {}
        self._bound = None
        self.closed = False

    def shapes(self, inputs):
        key = tuple(sorted(inputs.items()))
        if key not in self._known:
            zeros = {s.name: np.zeros(inputs[s.name], s.dtype) for s in self.inputs}
            found = self._network.infer(zeros)
            self._known[key] = {**inputs, **{name: o.shape for name, o in found.items()}}
        return self._known[key]

    def bind(self, inputs, addresses):
        self._bound = self.shapes(inputs), dict(addresses)

    def enqueue(self):
        shapes, addresses = self._bound
        driver = self._gpu.driver
        driver.check('enqueue')

        def run():
            for address in addresses.values():
                driver.bytes_at(address, 1)
            inputs = {
                s.name: host_array(addresses[s.name], s.dtype, shapes[s.name]).copy()
                for s in self.inputs
            }
            for name, value in self._network.infer(inputs).items():
                host_array(addresses[name], value.dtype, value.shape)[:] = value

        self._stream.do(run)

    def close(self):
        self.closed = True
        self._network.close()


class CpuLetterbox:
    """`LetterboxKernel` by the CPU's reference."""

    def __init__(self, driver, spec, dtype):
        self._driver, self._spec, self._dtype = driver, spec, np.dtype(dtype)

    def enqueue(self, images, tensor, stream):
        self._driver.check('launch')
        width, height = self._spec.size
        spec = self._spec

        def run():
            out = host_array(tensor, self._dtype, (len(images), 3, height, width))
            for image, one in zip(images, out, strict=True):
                # A new one each time: it remembers where it has padded.
                Preprocessor(spec, self._dtype)(self._bgr(image), one)

        stream.do(run)
        return [
            Letterbox.fit((i.width, i.height), spec.size, spec.resize, spec.pad, spec.shorter_side)
            for i in images
        ]

    def _bgr(self, image: DeviceImage):
        rows = image.height * 3 // 2 if image.encoding in ('nv12', 'nv21') else image.height
        # The last row may lack its padding.
        for lacking in range(image.step):
            try:
                data = self._driver.bytes_at(image.address, rows * image.step - lacking)
                break
            except self._driver.LogicError:
                continue
        frame = Frame(data, image.height, image.width, image.step, image.encoding, image.big_endian)
        return to_bgr(frame)


class CpuStages:
    """`Stages` with the letterbox on the CPU and no decoding kernel."""

    def __init__(self, gpu):
        self._gpu = gpu
        self.closed = False

    def letterbox(self, spec, dtype):
        return CpuLetterbox(self._gpu.driver, spec, dtype)

    def decode(self, spec, outputs, pictures):
        return None

    def close(self):
        self.closed = True


class StreamedLauncher:
    """Lets a launcher that runs kernels at once do so when their stream comes to it."""

    def __init__(self, driver, launcher):
        self._driver, self._launcher = driver, launcher

    def launch(self, source, kernel, grid, threads, call, stream):
        self._driver.check('launch')
        copied = call.copy()
        stream.do(lambda: self._launcher.launch(source, kernel, grid, threads, copied, None))

    def keep(self, data):
        self._driver.check('to_device')
        return self._launcher.keep(data)


def kernel_stages(launcher):
    """Makes stages by the package's own kernels, started by a launcher for the host."""
    return lambda gpu: KernelStages(StreamedLauncher(gpu.driver, launcher))


def grey(width=64, height=48):
    """A frame in which there is nothing."""
    return Frame.from_bgr(np.full((height, width, 3), 90, np.uint8))


def lose(driver, call='launch'):
    """Let the GPU fail for good at its next such call."""
    driver.fail(call, driver.LogicError('an illegal memory access was encountered'), sticky=True)


def stand_in_owner(driver):
    """An owner of the stand-in's GPU."""
    return GpuOwner(driver, reset=driver.reset, host_lock=driver)


def network_on(driver, path, acquire=None):
    """A network of onnxruntime on the stand-in's GPU, with an owner of its own."""
    return DeviceNetwork(
        lambda gpu, stream: CpuDevice(path, gpu, stream),
        acquire or (lambda: stand_in_owner(driver)),
    )
