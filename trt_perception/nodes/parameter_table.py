"""Every parameter of every node: its type, default, range and meaning, in one place.

Each node's parameters are a frozen struct whose fields carry their own description, so that what
is declared to ROS, what is checked, what the code reads and what the README says cannot differ.
Needs no ROS to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from trt_perception.building.opening import FALLBACKS
from trt_perception.errors import ParameterError
from trt_perception.nodes.thresholds import Thresholds
from trt_perception.runtime.selection import BACKENDS, PRECISIONS
from trt_perception.sources.encode import ENCODINGS
from trt_perception.tracking.settings import (
    CAMERA_MOTIONS,
    MEMORY_S,
    TRACKERS,
    TrackerSettings,
)

ANY_TIME = 'any time'
UNCONFIGURED = 'unconfigured'
START = 'start'
"""When a parameter may change: while the node runs, before `configure`, or only at its start."""

CHANGES = (ANY_TIME, UNCONFIGURED, START)


def about(
    description: str,
    *,
    change: str = ANY_TIME,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] | None = None,
    unset: str = '',
) -> msgspec.Meta:
    """Describe the parameter to whose annotation this is added.

    Args:
        description: for `ros2 param describe` and the README.
        change: one of `CHANGES`.
        ge, le: the range of a number, both included.
        choices: the only texts that are allowed.
        unset: what holds while a parameter whose default is None has not been set, in words.
    """
    extra = {'change': change, 'choices': choices, 'unset': unset}
    return msgspec.Meta(description=description, ge=ge, le=le, extra=extra)


class NodeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What every node has."""

    autostart: Annotated[
        bool,
        about(
            'Configure and activate at the start; false leaves that to lifecycle services.',
            change=START,
        ),
    ] = True
    metrics_port: Annotated[
        int,
        about(
            'Port of 127.0.0.1 on which Prometheus can ask for the figures; 0 for none. Every '
            'node needs its own.',
            change=UNCONFIGURED,
            ge=0,
            le=65535,
        ),
    ] = 0


class InputParameters(NodeParameters, frozen=True, kw_only=True):
    """What every node that takes images has."""

    image_transport: Annotated[
        str,
        about(
            'Which topic is read: raw is `image`, compressed is `image/compressed`.',
            change=UNCONFIGURED,
            choices=('raw', 'compressed'),
        ),
    ] = 'raw'
    reliability: Annotated[
        str,
        about(
            'Reliability asked of the publisher of images. Best effort loses images that are '
            "larger than the middleware's buffers.",
            change=START,
            choices=('reliable', 'best_effort'),
        ),
    ] = 'reliable'


class InferenceParameters(InputParameters, frozen=True, kw_only=True):
    """What detection and segmentation have in common."""

    model: Annotated[
        str,
        about(
            'Name of a model in config/models, or the path of a model YAML or ONNX file.',
            change=UNCONFIGURED,
        ),
    ]
    backend: Annotated[
        str,
        about(
            'What runs the network; auto takes the best that is present and logs the reason.',
            change=UNCONFIGURED,
            choices=BACKENDS,
        ),
    ] = 'auto'
    precision: Annotated[
        str,
        about(
            'Arithmetic of the network. fp16 and int8 need TensorRT; the engine is built at the '
            'first start, which takes minutes. int8 needs a calibration beside the model.',
            change=UNCONFIGURED,
            choices=PRECISIONS,
        ),
    ] = 'fp32'
    fallback_precision: Annotated[
        str,
        about(
            'Last precision to fall back to where an engine agrees with fp32 less than the model '
            'asks: from int8 over fp16 to fp32. none falls back to nothing.',
            change=UNCONFIGURED,
            choices=FALLBACKS,
        ),
    ] = 'none'
    cpu_fallback: Annotated[
        bool,
        about(
            'Go on on the CPU where the GPU stops working for good. False: the node then '
            'reports ERROR in /diagnostics until it is configured again.',
            change=UNCONFIGURED,
        ),
    ] = False
    adaptive: Annotated[
        tuple[str, ...],
        about(
            'Variants of the model to choose from by `target_latency`, the most accurate first: '
            'precisions such as [fp32, fp16, int8], other models, or model:precision, all with '
            'the same classes. Empty always runs `model` in `precision`.',
            change=UNCONFIGURED,
        ),
    ] = ()
    target_latency: Annotated[
        float,
        about(
            'Seconds that an image may take from its arrival to its result, for `adaptive`.',
            change=UNCONFIGURED,
            ge=0.0,
            le=60.0,
        ),
    ] = 0.0
    cameras: Annotated[
        tuple[str, ...],
        about(
            'Names of the cameras that share the network, such as [front, left]; results come '
            'under `~/front/`, `~/left/`. Empty is one camera on `image`, without a name.',
            change=UNCONFIGURED,
        ),
    ] = ()
    camera_topics: Annotated[
        tuple[str, ...],
        about(
            'Topic of the images of each of `cameras`, in their order; empty takes '
            '`<camera>/image`.',
            change=UNCONFIGURED,
        ),
    ] = ()
    max_batch: Annotated[
        int,
        about(
            'Images of different cameras in one inference at most. 0 takes one on a CPU, where a '
            'batch would only delay its first image, else as many as there are cameras and the '
            'network takes.',
            change=UNCONFIGURED,
            ge=0,
            le=256,
        ),
    ] = 0
    batch_deadline_ms: Annotated[
        float,
        about(
            'Milliseconds that an image waits for those of other cameras at most, while the '
            'network has nothing to do; 0 takes what is there. A GPU gains by a few.',
            change=UNCONFIGURED,
            ge=0.0,
            le=1000.0,
        ),
    ] = 0.0
    max_age: Annotated[
        float,
        about(
            'Images that are older by their stamp, in seconds, are dropped before any work; '
            '0 drops none.',
            ge=0.0,
            le=3600.0,
        ),
    ] = 0.0
    stale_after: Annotated[
        float,
        about(
            'Seconds without an image after which a camera is STALE in /diagnostics; 0 never.',
            ge=0.0,
            le=3600.0,
        ),
    ] = 5.0
    warn_latency: Annotated[
        float,
        about(
            'WARN in /diagnostics where the median of the time from the stamp of an image to its '
            'result is above this, in seconds; 0 never.',
            ge=0.0,
            le=3600.0,
        ),
    ] = 0.5
    warn_drop_share: Annotated[
        float,
        about(
            'WARN in /diagnostics where more than this share of the images of the last seconds '
            'gave no result, 0..1; 0 never.',
            ge=0.0,
            le=1.0,
        ),
    ] = 0.5
    warn_temperature: Annotated[
        float,
        about(
            'WARN in /diagnostics where the GPU is at least so hot, in degrees Celsius; 0 never.',
            ge=0.0,
            le=200.0,
        ),
    ] = 85.0
    threads: Annotated[
        int,
        about(
            'CPU threads for one inference; 0 leaves the choice to the backend.',
            change=UNCONFIGURED,
            ge=0,
            le=1024,
        ),
    ] = 0
    score_threshold: (
        Annotated[
            float,
            about(
                'Objects whose score is below are left out. Unused by semantic models.',
                ge=0.0,
                le=1.0,
                unset="the model's",
            ),
        ]
        | None
    ) = None
    iou_threshold: (
        Annotated[
            float,
            about(
                'Of two boxes of one class that overlap more than this, the lower score goes. '
                'Unused by semantic models.',
                ge=0.0,
                le=1.0,
                unset="the model's",
            ),
        ]
        | None
    ) = None
    max_detections: (
        Annotated[
            int,
            about(
                'At most so many objects an image. Unused by semantic models.',
                ge=1,
                le=65535,
                unset="the model's",
            ),
        ]
        | None
    ) = None
    class_filter: Annotated[
        tuple[str, ...],
        about(
            'Names of the only classes to keep; empty keeps all. In semantic masks the others '
            'become 255, unlabelled.'
        ),
    ] = ()
    class_id: Annotated[
        str,
        about(
            'What hypothesis.class_id holds: the name of the class, or its index in '
            '`~/label_info` as text. Unused by semantic models.',
            choices=('name', 'index'),
        ),
    ] = 'name'

    def tracker_settings(self) -> TrackerSettings:
        """How objects are followed from image to image."""
        return TrackerSettings()

    def embeddings_by(self) -> str:
        """The model that gives objects embeddings; '' for none."""
        return ''

    def thresholds(self) -> Thresholds:
        """From which figures on the node is not well."""
        return Thresholds(
            self.warn_latency, self.warn_drop_share, self.stale_after, self.warn_temperature
        )


class TrackedParameters(InferenceParameters, frozen=True, kw_only=True):
    """What every node has whose objects can be followed from image to image."""

    tracker: Annotated[
        str,
        about(
            'What gives objects ids that stay: sort by motion, bytetrack with weak detections '
            'too, deepsort by their looks besides. none leaves `id` empty.',
            choices=TRACKERS,
        ),
    ] = TrackerSettings.kind
    track_memory: Annotated[
        float,
        about(
            'Seconds that an object is remembered while it is not seen.',
            ge=MEMORY_S[0],
            le=MEMORY_S[1],
        ),
    ] = TrackerSettings.memory
    track_score: Annotated[
        float,
        about(
            'Objects from this score on begin tracks; weaker ones only continue them.',
            ge=0.0,
            le=1.0,
        ),
    ] = TrackerSettings.score
    track_sure_score: Annotated[
        float,
        about(
            'An object from this score on gets its id at once, where no other one is.',
            ge=0.0,
            le=1.0,
        ),
    ] = TrackerSettings.sure_score
    track_confirmations: Annotated[
        int,
        about('Images that must show any other object before it gets an id.', ge=1, le=1000),
    ] = TrackerSettings.confirmations
    track_overlap: Annotated[
        float,
        about('IoU that an object needs with the place where it is expected.', ge=0.0, le=1.0),
    ] = TrackerSettings.overlap
    track_low_overlap: Annotated[
        float,
        about('The same for objects below `track_score`.', ge=0.0, le=1.0),
    ] = TrackerSettings.low_overlap
    track_appearance: Annotated[
        float,
        about(
            'Greatest cosine distance between embeddings of one object, for deepsort.',
            ge=0.0,
            le=2.0,
        ),
    ] = TrackerSettings.appearance
    track_camera_motion: Annotated[
        str,
        about(
            'How to see that the camera itself moves: flow follows corners, orb finds them '
            'again; none takes it for still.',
            choices=CAMERA_MOTIONS,
        ),
    ] = TrackerSettings.camera_motion

    embedding_model: Annotated[
        str,
        about(
            'Name or path of a model for the task embed, which looks at every object and gives it '
            'an embedding, for deepsort; detect_node publishes it, too. Empty: none.',
            change=UNCONFIGURED,
        ),
    ] = ''

    def embeddings_by(self) -> str:
        """See `InferenceParameters`."""
        return self.embedding_model

    def tracker_settings(self) -> TrackerSettings:
        """See `InferenceParameters`."""
        return TrackerSettings(
            kind=self.tracker,
            memory=self.track_memory,
            score=self.track_score,
            sure_score=self.track_sure_score,
            confirmations=self.track_confirmations,
            overlap=self.track_overlap,
            low_overlap=self.track_low_overlap,
            appearance=self.track_appearance,
            camera_motion=self.track_camera_motion,
        )


class DetectParameters(TrackedParameters, frozen=True, kw_only=True):
    """Parameters of detect_node."""

    model: Annotated[
        str,
        about(
            'Name of a detection model in config/models, or the path of a model YAML or ONNX file.',
            change=UNCONFIGURED,
        ),
    ] = 'street_detect'


class SegmentParameters(TrackedParameters, frozen=True, kw_only=True):
    """Parameters of segment_node."""

    model: Annotated[
        str,
        about(
            'Name of an instance or semantic model in config/models, or the path of a model '
            'YAML or ONNX file.',
            change=UNCONFIGURED,
        ),
    ] = 'street_semantic'


class ClassifyParameters(InferenceParameters, frozen=True, kw_only=True):
    """Parameters of classify_node."""

    model: Annotated[
        str,
        about(
            'Name of a classification or embedding model in config/models, or the path of a '
            'model YAML or ONNX file.',
            change=UNCONFIGURED,
        ),
    ] = ''


class CameraParameters(NodeParameters, frozen=True, kw_only=True):
    """Parameters of camera_node."""

    source: Annotated[
        str,
        about(
            'What the camera shows: synthetic (or synthetic:SEED), an image, a folder of images, '
            'a video, a V4L2 device such as /dev/video0, or a bag.',
            change=UNCONFIGURED,
        ),
    ] = 'synthetic'
    topic: Annotated[
        str,
        about(
            'Image topic of a bag that has several; empty for one that has one.',
            change=UNCONFIGURED,
        ),
    ] = ''
    rate: Annotated[
        float,
        about(
            "Images per second; 0 takes the source's own rate. A V4L2 device is asked for it.",
            change=UNCONFIGURED,
            ge=0.0,
            le=1000.0,
        ),
    ] = 0.0
    size: Annotated[
        str,
        about(
            'Width and height of the images, such as 1280x720; empty keeps those of the source.',
            change=UNCONFIGURED,
        ),
    ] = ''
    encoding: Annotated[
        str,
        about(
            'Encoding of the images; source leaves those of a bag as they are.',
            change=UNCONFIGURED,
            choices=(*ENCODINGS, 'source'),
        ),
    ] = 'bgr8'
    loop: Annotated[
        bool,
        about('Begin again at the end of the source.', change=UNCONFIGURED),
    ] = True
    count: Annotated[
        int,
        about(
            'Images to publish before the camera stops; 0 never stops.', change=UNCONFIGURED, ge=0
        ),
    ] = 0
    stamp: Annotated[
        str,
        about(
            'Stamp of the images: now is the time of publication by the clock of the node, '
            'source the time in a video or bag.',
            change=UNCONFIGURED,
            choices=('now', 'source'),
        ),
    ] = 'now'
    frame_id: Annotated[
        str,
        about(
            'Coordinate frame of the camera. Images of a bag keep their own.', change=UNCONFIGURED
        ),
    ] = 'camera'
    calibration: Annotated[
        str,
        about(
            'Path of a calibration file as camera_calibration writes it, for `camera_info`; '
            'empty describes a camera without distortion.',
            change=UNCONFIGURED,
        ),
    ] = ''
    field_of_view: Annotated[
        float,
        about(
            'Horizontal field of view in degrees, for `camera_info`. Unused with a calibration.',
            change=UNCONFIGURED,
            ge=1.0,
            le=179.0,
        ),
    ] = 60.0
    jpeg_quality: Annotated[
        int,
        about('Quality of the JPEG images on `image/compressed`.', ge=1, le=100),
    ] = 90


class OverlayParameters(InputParameters, frozen=True, kw_only=True):
    """Parameters of overlay_node."""

    inputs: Annotated[
        tuple[str, ...],
        about(
            'Results to wait for, of: detections, instances, instance_mask, mask, key_points, '
            'classification. Empty takes those that somebody publishes.',
            change=UNCONFIGURED,
        ),
    ] = ()
    timeout: Annotated[
        float,
        about(
            'Seconds that an image waits for its results before it is drawn with what is there.',
            change=UNCONFIGURED,
            ge=0.0,
            le=60.0,
        ),
    ] = 0.5
    queue_size: Annotated[
        int,
        about('At most so many images wait for their results.', change=UNCONFIGURED, ge=1, le=1000),
    ] = 16
    models: Annotated[
        tuple[str, ...],
        about(
            'Models, as in the parameter `model` of the other nodes, whose class colours are '
            'used. Classes of none of them get colours by their names.',
            change=UNCONFIGURED,
        ),
    ] = ()
    encoding: Annotated[
        str,
        about('Encoding of the picture.', choices=('bgr8', 'rgb8')),
    ] = 'bgr8'
    boxes: Annotated[bool, about('Draw the frames around objects.')] = True
    labels: Annotated[bool, about('Draw plates with the names of the classes.')] = True
    scores: Annotated[bool, about('Show scores on the plates.')] = True
    track_ids: Annotated[bool, about('Show track ids on the plates, where there are any.')] = True
    masks: Annotated[bool, about('Blend masks in.')] = True
    key_points: Annotated[
        bool, about('Draw the points of poses and faces, and the lines of their skeleton.')
    ] = True
    status: Annotated[bool, about('Show the frame rate and what is missing.')] = True
    legend: Annotated[bool, about('List semantic classes that no object bears.')] = False
    mask_opacity: Annotated[
        float,
        about('Opacity of masks: 0 shows the image only, 1 the masks only.', ge=0.0, le=1.0),
    ] = 0.45
    line_width: Annotated[
        int,
        about('Width of lines in pixels; 0 takes what suits the image.', ge=0, le=50),
    ] = 0
    font_scale: Annotated[
        float,
        about('Size of letters, times what suits the image.', ge=0.1, le=10.0),
    ] = 1.0


Parameters = TypeVar('Parameters', bound=NodeParameters)

_TYPE_NAMES = {str: 'text', float: 'number', int: 'whole number', bool: 'true or false'}


@dataclass(frozen=True)
class ParameterRow:
    """One parameter, as a table shows it.

    Attributes:
        name: of the parameter.
        annotation: its Python type with range, for `msgspec.convert`.
        type_name: its type in words.
        default: its value unless set; None where `unset` says what holds.
        description: what it means.
        lower, upper: the range of a number, both included; None where there is none.
        choices: the only texts that are allowed; None where any is.
        change: when it may change, one of `CHANGES`.
        unset: in words, what holds while it is not set.
    """

    name: str
    annotation: Any
    type_name: str
    default: Any
    description: str
    lower: float | None
    upper: float | None
    choices: tuple[str, ...] | None
    change: str
    unset: str

    @property
    def allowed(self) -> str:
        """What may be set, in words."""
        if self.choices is not None:
            return 'one of ' + ', '.join(self.choices)
        if self.lower is not None and self.upper is not None:
            return f'a {self.type_name} from {self.lower} to {self.upper}'
        if self.lower is not None:
            return f'a {self.type_name} of at least {self.lower}'
        return {'text': 'a text', 'number': 'a number'}.get(self.type_name, self.type_name)

    def convert(self, value: Any) -> Any:
        """The value as the struct holds it.

        Raises:
            ParameterError: it is of another type, outside the range or no choice.
        """
        if self.type_name == 'list of texts' and isinstance(value, Sized) and not len(value):
            return ()  # an empty list has no type of its own in ROS: take it from any
        try:
            converted = msgspec.convert(value, self.annotation)
        except (msgspec.ValidationError, TypeError):
            converted = None
        if converted is None or (self.choices is not None and converted not in self.choices):
            raise ParameterError(f'{self.name}: {value!r} is not allowed; allowed: {self.allowed}')
        return converted


def parameter_rows(kind: type[NodeParameters]) -> tuple[ParameterRow, ...]:
    """The parameters of a node, in the order of its struct."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return tuple(_row(name, hints[name], defaults[name]) for name in kind.__struct_fields__)


def _row(name: str, annotation: Any, default: Any) -> ParameterRow:
    if get_origin(annotation) is not Annotated:  # it may be None: only its default is
        [annotation] = [kind for kind in get_args(annotation) if kind is not type(None)]
    plain, meta = get_args(annotation)
    type_name = _TYPE_NAMES.get(plain, 'list of texts')
    extra: Mapping[str, Any] = meta.extra
    return ParameterRow(
        name,
        annotation,
        type_name,
        default,
        meta.description,
        meta.ge,
        meta.le,
        extra['choices'],
        extra['change'],
        extra['unset'],
    )


NODES: dict[str, type[NodeParameters]] = {
    'camera_node': CameraParameters,
    'detect_node': DetectParameters,
    'segment_node': SegmentParameters,
    'classify_node': ClassifyParameters,
    'overlay_node': OverlayParameters,
}
"""The parameters of each node by its name."""
