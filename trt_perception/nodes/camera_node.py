"""camera_node: publishes images of a camera, a file or the synthetic street."""

from __future__ import annotations

import array
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from builtin_interfaces.msg import Time
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from trt_perception.errors import FrameError, ParameterError
from trt_perception.frames import COMPRESSED, Frame
from trt_perception.nodes.camera_parameters import CameraParameters
from trt_perception.nodes.endpoints import UnservedSubscribers
from trt_perception.nodes.health import ERROR, OK, WARN, Condition
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.qos_overrides import overridable_publisher
from trt_perception.pipeline.statistics import PAUSED
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.calibration import Calibration, load_calibration, pinhole
from trt_perception.sources.encode import check_encoding
from trt_perception.sources.opening import open_source
from trt_perception.sources.pacing import Delivery, PacedSource, Progress
from trt_perception.sources.source import Source

_JPEG_START = b'\xff\xd8'


class CameraNode(PerceptionNode[CameraParameters]):
    """Publishes `image`, `image/compressed` and `camera_info` from a source.

    A thread reads and publishes; ROS callbacks only start and stop it. A source that is lost is
    opened again, one that has ended leaves the node active and silent.
    """

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self._image: Publisher | None = None
        self._compressed: Publisher | None = None
        self._info: Publisher | None = None
        self._calibration: Calibration | None = None
        self._paced: PacedSource | None = None
        self._first_stamp_ns: int | None = None
        self._late_before = 0
        self._unserved = UnservedSubscribers(self)
        super().__init__('camera_node', CameraParameters, **arguments)

    def check_parameters(self, candidate: CameraParameters) -> None:
        """Refuse a size that is none, or that the encoding cannot have."""
        size = parse_size(candidate.size)
        if candidate.encoding != 'source':
            check_encoding(candidate.encoding, size)

    def configure(self) -> None:
        """Read the calibration and create the publishers."""
        self.check_parameters(self.parameters)
        path = self.parameters.calibration
        self._calibration = load_calibration(Path(path).expanduser()) if path else None
        self._image = overridable_publisher(self, Image, 'image')
        self._compressed = overridable_publisher(self, CompressedImage, 'image/compressed')
        self._info = overridable_publisher(self, CameraInfo, 'camera_info')

    def activate(self) -> None:
        """Start to read and publish, from the beginning."""
        parameters = self.parameters
        self._first_stamp_ns = None
        self._late_before = 0
        self._paced = PacedSource(
            lambda: self._open(parameters),
            self._publish,
            rate=parameters.rate or None,
            count=parameters.count,
        )
        self._paced.start()

    def deactivate(self) -> None:
        """Stop reading."""
        paced, self._paced = self._paced, None
        if paced is not None and not paced.stop():
            self.get_logger().warning('the source does not end; leaving it behind')

    def cleanup(self) -> None:
        """Remove the publishers."""
        for publisher in (self._image, self._compressed, self._info):
            if publisher is not None:
                self.destroy_publisher(publisher)
        self._image = self._compressed = self._info = None

    def conditions(self) -> Sequence[Condition]:
        """Whether the source delivers, and whoever wants its images gets them."""
        publishers = [one for one in (self._image, self._compressed, self._info) if one]
        return [*self._of_source(), *self._unserved.conditions(publishers)]

    def _of_source(self) -> Sequence[Condition]:
        """Whether it delivers, and as fast as it should."""
        progress = self._progress()
        if progress.state == 'lost':
            return [Condition(ERROR, f'{progress.error}. Trying again')]
        if progress.state == 'finished':
            return [Condition(OK, f'finished after {progress.delivered} images')]
        newly_late = progress.late - self._late_before
        self._late_before = progress.late
        if newly_late and progress.rate:
            rate = self.statistics.snapshot().rate_hz
            text = (
                f'{newly_late} image{"s" * (newly_late > 1)} late: {rate:.1f} of '
                f'{progress.rate:g} Hz. Lower `rate` or `size`'
            )
            self.health.warn('late', text)
            return [Condition(WARN, text)]
        return []

    def diagnostic_values(self) -> Mapping[str, str]:
        """What is read, and how it goes."""
        progress = self._progress()
        return {
            'source': self.parameters.source,
            'source state': progress.state,
            'rate aimed at': f'{progress.rate:g} Hz' if progress.rate else 'the camera sets it',
            'images late': str(progress.late),
        }

    def _progress(self) -> Progress:
        return self._paced.progress if self._paced is not None else Progress(state='stopped')

    def _open(self, parameters: CameraParameters) -> Source:
        """In the thread."""
        source = open_source(
            parameters.source,
            size=parse_size(parameters.size),
            rate=parameters.rate or None,
            loop=parameters.loop,
            frame_id=parameters.frame_id,
            encoding=None if parameters.encoding == 'source' else parameters.encoding,
            topic=parameters.topic or None,
        )
        self.get_logger().info(f'showing {source.name}')
        return source

    def _publish(self, delivery: Delivery) -> None:
        """In the thread: one frame to all topics on which somebody listens."""
        self.statistics.frame_in()
        if not self.enabled:
            self.statistics.frame_dropped(PAUSED)
            return
        frame = delivery.frame
        stamp = self._stamp(delivery)
        header = Header(stamp=stamp, frame_id=frame.frame_id)
        try:
            stages_ms = self._publish_image(frame, header)
        except FrameError as error:
            self.statistics.frame_dropped(error.cause)
            self.health.failed(error.cause, str(error))
            return
        stages_ms = {'read': delivery.read_ms, **stages_ms}
        stages_ms['total'] = sum(stages_ms.values())
        self.statistics.frame_out(stages_ms, stamp.sec * 10**9 + stamp.nanosec)
        self.health.succeeded()

    def _publish_image(self, frame: Frame, header: Header) -> dict[str, float]:
        """Returns milliseconds by stage."""
        assert self._image is not None
        assert self._compressed is not None
        assert self._info is not None
        watch = Stopwatch()
        raw = _decoded(frame)
        self._info.publish(self._info_message(raw.width, raw.height, header))
        if self._image.get_subscription_count():
            self._image.publish(frame_message(raw, header))
        watch.lap('publish')
        if self._compressed.get_subscription_count():
            data = jpeg(frame, self.parameters.jpeg_quality)
            self._compressed.publish(CompressedImage(header=header, format='jpeg', data=data))
            watch.lap('compressed')
        return watch.laps_ms

    def _stamp(self, delivery: Delivery) -> Time:
        now = self.get_clock().now()
        self.newest_age_s = 0.0
        if self.parameters.stamp == 'now' or delivery.stamps == 'none':
            return now.to_msg()
        stamp_ns = delivery.frame.stamp_ns
        if delivery.stamps == 'since_start':
            if self._first_stamp_ns is None:
                self._first_stamp_ns = now.nanoseconds - stamp_ns
            stamp_ns += self._first_stamp_ns
        return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)

    def _info_message(self, width: int, height: int, header: Header) -> CameraInfo:
        if self._calibration is None:
            calibration = pinhole(width, height, self.parameters.field_of_view)
        else:
            calibration = self._calibration.resized(width, height)
        return CameraInfo(
            header=header,
            width=width,
            height=height,
            distortion_model=calibration.distortion_model,
            d=calibration.d,
            k=calibration.k,
            r=calibration.r,
            p=calibration.p,
        )


def parse_size(text: str) -> tuple[int, int] | None:
    """(width, height) from a text such as '1280x720'; None for an empty one.

    Raises:
        ParameterError: it is neither.
    """
    if not text:
        return None
    found = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text)
    if found is None:
        raise ParameterError(
            f'size: {text!r} is not allowed; allowed: WIDTHxHEIGHT in pixels, such as 1280x720, '
            'or an empty text'
        )
    return int(found[1]), int(found[2])


def frame_message(frame: Frame, header: Header) -> Image:
    """The frame as a message; its bytes are copied once."""
    # rclpy checks each element of anything but an array.
    data = array.array('B')
    data.frombytes(memoryview(frame.data))
    return Image(
        header=header,
        height=frame.height,
        width=frame.width,
        encoding=frame.encoding,
        is_bigendian=int(frame.big_endian),
        step=frame.step,
        data=data,
    )


def jpeg(frame: Frame, quality: int) -> array.array[int]:
    """The bytes of a JPEG file; those of the frame where it is one.

    Args:
        frame: any.
        quality: 1 to 100.

    Raises:
        FrameError: it cannot be decoded, or JPEG cannot hold it.
    """
    data = array.array('B')
    if frame.encoding == COMPRESSED and frame.data[:2].tobytes() == _JPEG_START:
        data.frombytes(memoryview(frame.data))
        return data
    try:
        done, encoded = cv2.imencode('.jpg', to_bgr(frame), [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise FrameError('too_large', f'JPEG cannot hold the image: {error}') from error
    if not done:
        raise FrameError('too_large', f'JPEG cannot hold {frame.width}x{frame.height} pixels')
    data.frombytes(memoryview(encoded.reshape(-1)))
    return data


def _decoded(frame: Frame) -> Frame:
    if frame.encoding != COMPRESSED:
        return frame
    return frame.showing(to_bgr(frame))
