"""Takes the place of pycuda.driver where there is no GPU.

Device memory is host memory. Streams are queues whose operations run late and in any order that
streams and events allow, so that a missing wait, or memory that is used again too early, gives
wrong results here as on a GPU. Every allocation and every use of a context is checked, and any
call can be made to fail.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import threading
import time
import weakref

import numpy as np

POISON = 0xA5


class StandInDriver:
    """One GPU. Its attributes are those of the module pycuda.driver that the package uses.

    Attributes:
        calls: how often each call was made.
        live: addresses and sizes of device memory.
        pinned: addresses and sizes of page-locked memory.
        handles: streams and events that still exist.
        after_reset: called when the context was reset.
        destroyed: what is raised for a context that somebody else has destroyed; None: it is there.
    """

    class Error(Exception):
        """Any error of CUDA."""

    class MemoryError(Error):
        """Out of memory."""

    class LogicError(Error):
        """Wrong use, and faults of the GPU."""

    def __init__(self, *, devices=1, capability=(9, 0), total=1 << 34, seed=0):
        self.capability = capability
        self.devices = devices
        self.total = total
        self.others = 0
        self.calls = {}
        self.live = {}
        self.pinned = {}
        self.handles = weakref.WeakSet()
        self.streams = weakref.WeakSet()
        self.retained = 0
        self.resets = 0
        self.sticky = None
        self.after_reset = lambda: None
        self.destroyed = None
        self.random = random.Random(seed)
        self.freed_in = set()
        self.owner_thread = None
        self._fail = []
        self._stacks = {}
        self._ids = itertools.count(1)
        self._default = _Stream(self)  # for which streams of the package do not wait
        self.handles.clear()
        self.streams.clear()
        driver = self

        class Device(_Device):
            def __init__(self, ordinal):
                super().__init__(driver, ordinal)

            @staticmethod
            def count():
                return driver.devices

        class Context:
            @staticmethod
            def synchronize():
                driver.check('Context.synchronize')
                driver.run_until(lambda: not any(s.queue for s in driver.queues()))

        self.Device = Device
        self.Context = Context

    # What tests ask and do

    def fail(self, call, error, *, after=0, sticky=False):
        """Let a call raise, after so many that do not; `sticky` ends the context."""
        self._fail.append([call, error, after, sticky])

    def forgive(self):
        """Whatever was to fail and has not does not."""
        self._fail.clear()

    def reset(self, ordinal):
        """Stands for cuDevicePrimaryCtxReset."""
        self.resets += 1
        self.sticky = self.destroyed = None
        self.live.clear()
        self.pinned.clear()
        for stream in self.queues():
            stream.queue.clear()
        self.after_reset()
        return 0

    def pushed(self):
        """Threads that hold a context."""
        return [thread for thread, stack in self._stacks.items() if stack]

    def left(self):
        """What was not given back."""
        return {
            'device memory': dict(self.live),
            'pinned memory': dict(self.pinned),
            'streams and events': len(self.handles),
            'contexts': self.retained,
            'pushed': self.pushed(),
        }

    def bytes_at(self, address, nbytes):
        """uint8 [nbytes], device memory, if it is allocated."""
        for start, (memory, size) in self.live.items():
            if start <= address and address + nbytes <= start + size:
                offset = address - start
                return memory[offset : offset + nbytes]
        raise self.LogicError(f'illegal address: {address:#x}, {nbytes} bytes')

    # What every call does

    def check(self, call, *, context=True):
        self.calls[call] = self.calls.get(call, 0) + 1
        if context and not self._stacks.get(threading.get_ident()):
            raise self.LogicError(f'{call} failed: invalid device context')
        if self.sticky is not None:
            raise self.sticky
        for entry in self._fail:
            if entry[0] != call:
                continue
            if entry[2] > 0:
                entry[2] -= 1
                continue
            self._fail.remove(entry)
            if entry[3]:
                self.sticky = entry[1]
            raise entry[1]

    def push(self):
        if self.destroyed is not None:
            raise self.destroyed
        self.owner_thread = threading.get_ident()
        self._stacks.setdefault(threading.get_ident(), []).append(self)

    def pop(self):
        self._stacks[threading.get_ident()].pop()

    def queues(self):
        """All streams, the default one first."""
        return [self._default, *sorted(self.streams, key=lambda s: s.handle)]

    def run_until(self, happened):
        """Run operations of streams in a random order until something has happened."""
        while not happened():
            ready = [s for s in self.queues() if s.can_run()]
            assert ready, 'every stream waits for another one'
            self.random.choice(ready).run_one()
            if self.sticky is not None:
                raise self.sticky

    def run_some(self):
        """The GPU gets on with its work a little, or not."""
        for stream in self.queues():
            while self.random.random() < 0.3 and stream.can_run():
                stream.run_one()

    # pycuda.driver

    def init(self):
        self.check('init', context=False)

    def mem_get_info(self):
        self.check('mem_get_info')
        used = self.others + sum(size for _, size in self.live.values())
        return max(self.total - used, 0), self.total

    def mem_alloc(self, nbytes):
        self.check('mem_alloc')
        if nbytes <= 0:
            raise self.LogicError('cuMemAlloc failed: invalid argument')
        if nbytes > self.mem_get_info()[0]:
            raise self.MemoryError('cuMemAlloc failed: out of memory')
        return _DeviceAllocation(self, nbytes)

    def to_device(self, array):
        allocation = self.mem_alloc(array.nbytes)
        self._copy_late(int(allocation), array)
        return allocation

    def pagelocked_empty(self, shape, dtype):
        self.check('pagelocked_empty')
        assert dtype == np.uint8
        return np.asarray(_HostAllocation(self, shape))

    # HostLock

    def lock(self, address, nbytes):
        assert address % 4096 == nbytes % 4096 == 0
        try:
            self.check('lock')
        except self.Error:
            return False
        self.pinned[address] = nbytes
        return True

    def unlock(self, address):
        self.pinned.pop(address, None)

    # pycuda.driver again

    def memcpy_htod(self, target, source):
        self.check('memcpy_htod')
        self._copy_late(int(target), source)

    def memcpy_htod_async(self, target, source, stream):
        self.check('memcpy_htod_async')
        self.must_be_pinned(source)
        stream.do(lambda: self._copy(self.bytes_at(int(target), source.nbytes), flat(source)))

    def _copy_late(self, target, source):
        """Of pageable memory CUDA takes a copy, which may arrive after the call has returned."""
        data = flat(source).copy()
        self._default.do(lambda: self._copy(self.bytes_at(target, data.nbytes), data))

    def Memcpy2D(self):  # noqa: N802
        return _RowsCopy(self)

    def memcpy_dtoh_async(self, target, source, stream):
        self.check('memcpy_dtoh_async')
        self.must_be_pinned(target)
        stream.do(lambda: self._copy(flat(target), self.bytes_at(int(source), target.nbytes)))

    def memcpy_dtod_async(self, target, source, size, stream):
        self.check('memcpy_dtod_async')
        stream.do(
            lambda: self._copy(self.bytes_at(int(target), size), self.bytes_at(int(source), size))
        )

    def Stream(self, flags=0):  # noqa: N802
        self.check('Stream')
        return _Stream(self)

    def Event(self, flags=0):  # noqa: N802
        self.check('Event')
        return _Event(self)

    def must_be_pinned(self, array):
        self.must_be_pinned_from(array.__array_interface__['data'][0], array.nbytes)

    def must_be_pinned_from(self, address, nbytes):
        for start, size in self.pinned.items():
            if start <= address and address + nbytes <= start + size:
                return
        raise AssertionError('an asynchronous copy of memory that is not page-locked')

    @staticmethod
    def _copy(target, source):
        target[:] = source


def flat(array):
    return array.reshape(-1).view(np.uint8)


class _Device:
    def __init__(self, driver, ordinal):
        driver.check('Device', context=False)
        if ordinal >= driver.devices:
            raise driver.LogicError('cuDeviceGet failed: invalid device ordinal')
        self._driver = driver

    def compute_capability(self):
        return self._driver.capability

    def name(self):
        return 'Stand-in GPU'

    def retain_primary_context(self):
        self._driver.check('retain_primary_context', context=False)
        self._driver.retained += 1
        return _PrimaryContext(self._driver)


class _PrimaryContext:
    def __init__(self, driver):
        self._driver = driver

    def push(self):
        self.owner_thread = threading.get_ident()
        self._driver.push()

    def pop(self):
        self._driver.pop()

    def synchronize(self):
        self._driver.Context.synchronize()

    def detach(self):
        self._driver.retained -= 1


class _DeviceAllocation:
    def __init__(self, driver, nbytes):
        self._driver = driver
        memory = np.full(nbytes + 256, POISON, np.uint8)
        start = memory.__array_interface__['data'][0]
        offset = -start % 256
        self._address = start + offset
        driver.live[self._address] = memory[offset : offset + nbytes], nbytes

    def __int__(self):
        return self._address

    def free(self):
        self._driver.check('mem_free')
        memory, _ = self._driver.live.pop(self._address)
        memory[:] = POISON


class _HostAllocation:
    def __init__(self, driver, nbytes):
        self._driver = driver
        self._memory = np.full(nbytes, POISON, np.uint8)
        self.__array_interface__ = self._memory.__array_interface__
        self._address = self.__array_interface__['data'][0]
        driver.pinned[self._address] = nbytes

    def free(self):
        self._driver.check('mem_free_host')
        del self._driver.pinned[self._address]
        self._memory[:] = POISON


class _RowsCopy:
    """Memcpy2D from page-locked memory to the device."""

    def __init__(self, driver):
        self._driver = driver
        self.src_pitch = self.dst_pitch = self.width_in_bytes = self.height = 0

    def set_src_host(self, rows):
        self._rows = rows

    def set_dst_device(self, address):
        self._address = address

    def __call__(self, stream):
        driver, width, count = self._driver, self.width_in_bytes, self.height
        driver.check('Memcpy2D')
        assert min(self.src_pitch, self.dst_pitch) >= width > 0
        assert count > 0
        start = self._rows.__array_interface__['data'][0]
        driver.must_be_pinned_from(start, (count - 1) * self.src_pitch + width)
        address, steps = self._address, (self.src_pitch, self.dst_pitch)

        def run():
            for row in range(count):
                source = host_array(start + row * steps[0], np.uint8, (width,))
                driver.bytes_at(address + row * steps[1], width)[:] = source

        stream.do(run)


class _Stream:
    def __init__(self, driver):
        self._driver = driver
        self.handle = next(driver._ids)
        self.queue = []
        driver.handles.add(self)
        driver.streams.add(self)

    def __del__(self):
        self._driver.freed_in.add(threading.get_ident())

    def do(self, operation, ready=lambda: True):
        """Queue an operation; how kernels and networks come in."""
        self.queue.append((operation, ready))
        self._driver.run_some()

    def can_run(self):
        return bool(self.queue) and self.queue[0][1]()

    def run_one(self):
        operation, _ = self.queue.pop(0)
        try:
            operation()
        except self._driver.Error as error:
            self._driver.sticky = error

    def wait_for_event(self, event):
        self._driver.check('Stream.wait_for_event')
        mark = event.mark
        self.do(lambda: None, lambda: mark is None or mark['time'] is not None)

    def synchronize(self):
        self._driver.check('Stream.synchronize')
        self._driver.run_until(lambda: not self.queue)


class _Event:
    def __init__(self, driver):
        self._driver = driver
        self.mark = None
        driver.handles.add(self)

    def __del__(self):
        self._driver.freed_in.add(threading.get_ident())

    def record(self, stream):
        self._driver.check('Event.record')
        mark = self.mark = {'time': None}
        stream.do(lambda: mark.update(time=time.perf_counter()))

    def query(self):
        self._driver.check('Event.query')
        self._driver.run_some()
        return self.mark is None or self.mark['time'] is not None

    def synchronize(self):
        self._driver.check('Event.synchronize')
        mark = self.mark
        self._driver.run_until(lambda: mark is None or mark['time'] is not None)

    def time_since(self, other):
        self._driver.check('Event.time_since')
        assert self.mark['time'] is not None, 'the event has not happened'
        assert other.mark['time'] is not None, 'the event has not happened'
        return (self.mark['time'] - other.mark['time']) * 1e3


def host_array(address, dtype, shape):
    """An array over memory of the stand-in."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), dtype).reshape(shape)
