"""Parameters of the nodes that find objects: detect_node and segment_node."""

from __future__ import annotations

from typing import Annotated

from trt_perception.nodes.inference_parameters import InferenceParameters
from trt_perception.nodes.parameter_rows import UNCONFIGURED, about
from trt_perception.tracking.settings import CAMERA_MOTIONS, MEMORY_S, TRACKERS, TrackerSettings


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
