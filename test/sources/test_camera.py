"""A camera is hardware; here a stand-in for it is opened in its place."""

import threading

import cv2
import numpy as np
import pytest

from trt_perception.errors import SourceError
from trt_perception.sources.camera import CameraSource

IMAGE = np.full((48, 64, 3), 7, np.uint8)


class FlakyDevice:
    """Delivers `images` frames, then fails; `open_failures` attempts to open it fail first."""

    def __init__(self, images=3, opened=True, error=None):
        self.left = images
        self.opened = opened
        self.error = error
        self.released = 0

    def isOpened(self):  # noqa: N802
        return self.opened

    def read(self):
        if self.left == 0:
            if self.error:
                raise self.error
            return False, None
        self.left -= 1
        return True, IMAGE.copy()

    def release(self):
        self.released += 1


def camera(*devices):
    """A camera whose n-th opening finds the n-th device; the last one stays."""
    queue = list(devices)
    return CameraSource(
        '0',
        frame_id='front',
        opener=lambda: queue.pop(0) if len(queue) > 1 else queue[0],
        first_wait_s=0.001,
    )


def take(source, count):
    frames = iter(source)
    return [next(frames) for _ in range(count)]


def test_a_missing_device_is_refused_with_what_there_is():
    with pytest.raises(SourceError, match=r'/dev/video987: .*no such device'):
        CameraSource('987')


def test_a_device_that_does_not_open_is_released_and_refused():
    device = FlakyDevice(opened=False)
    with pytest.raises(SourceError, match='cannot be opened'):
        camera(device)
    assert device.released == 1


def test_frames_are_unstamped_and_carry_the_frame_id():
    source = camera(FlakyDevice(images=2))
    frames = take(source, 2)
    assert [f.stamp_ns for f in frames] == [0, 0]
    assert source.stamps == 'none'
    assert (frames[0].frame_id, source.size, source.connected) == ('front', (64, 48), True)


@pytest.mark.parametrize('error', [None, cv2.error('device gone')])
def test_a_camera_that_drops_out_is_opened_again(error, caplog):
    first = FlakyDevice(images=2, error=error)
    source = camera(first, FlakyDevice(opened=False), FlakyDevice(opened=False), FlakyDevice(5))
    assert len(take(source, 6)) == 6
    assert source.skipped == {'camera_lost': 1}
    assert first.released == 1
    assert 'the camera is back' in caplog.text


def test_an_opener_that_raises_counts_as_closed():
    calls = iter([FlakyDevice(1), OSError('busy'), FlakyDevice(1)])

    def opener():
        found = next(calls)
        if isinstance(found, OSError):
            raise found
        return found

    source = CameraSource('0', opener=opener, first_wait_s=0.001)
    assert len(take(source, 2)) == 2


def test_closing_wakes_a_source_that_waits_for_its_camera():
    gone = FlakyDevice(opened=False)
    source = CameraSource('0', opener=iter([FlakyDevice(1)] + [gone] * 99).__next__)
    lost = threading.Event()

    def watch():
        for _ in source:
            pass
        lost.set()

    thread = threading.Thread(target=watch)
    thread.start()
    source.close()
    assert lost.wait(10)
    thread.join()


def test_closing_an_idle_source_frees_the_device():
    device = FlakyDevice()
    source = camera(device)
    source.close()
    assert device.released == 1
    assert list(source) == []
