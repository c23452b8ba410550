"""Parameters of every node that runs a network, and of classify_node."""

from __future__ import annotations

from typing import Annotated

from trt_perception.building.opening import FALLBACKS
from trt_perception.nodes.common_parameters import InputParameters
from trt_perception.nodes.parameter_rows import UNCONFIGURED, about
from trt_perception.nodes.thresholds import Thresholds
from trt_perception.runtime.selection import BACKENDS, PRECISIONS
from trt_perception.tracking.settings import TrackerSettings


class InferenceParameters(InputParameters, frozen=True, kw_only=True):
    """What all nodes with a network have in common."""

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
            'Seconds without an image after which a camera is STALE in /diagnostics, and without '
            'an answer of the network after which the node is an ERROR; 0 never.',
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
            self.warn_latency,
            self.warn_drop_share,
            self.stale_after,
            self.warn_temperature,
            self.max_age,
        )


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
