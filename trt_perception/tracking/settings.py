"""What a tracker may be told."""

from __future__ import annotations

from dataclasses import dataclass, fields

from trt_perception.allowed_values import check_choice, check_range

TRACKERS = ('none', 'sort', 'bytetrack', 'deepsort')
"""Ways of tracking; none gives no ids."""

CAMERA_MOTIONS = ('none', 'flow', 'orb')
"""Ways of seeing how the camera itself moves; none takes it for still."""

MEMORY_S = (0.1, 3600.0)
"""Shortest and longest memory in seconds."""


@dataclass(frozen=True)
class TrackerSettings:
    """How objects are followed. May be replaced between two frames.

    Attributes:
        kind: one of `TRACKERS`.
        memory: seconds that an object is remembered while it is not seen.
        score: detections from here on begin tracks and are matched first; lower ones only
            continue tracks, and none with sort. 0..1.
        sure_score: a detection from here on where nothing else is gets an id at once, 0..1.
        confirmations: images that must show an object before it gets an id.
        overlap: IoU that a detection needs with the place where its object is expected, 0..1.
        low_overlap: the same for detections below `score`.
        appearance: greatest cosine distance of one object's embeddings, 0..2; for deepsort.
        camera_motion: one of `CAMERA_MOTIONS`.
    """

    kind: str = 'none'
    memory: float = 3.0
    score: float = 0.4
    sure_score: float = 0.6
    confirmations: int = 2
    overlap: float = 0.05
    low_overlap: float = 0.2
    appearance: float = 0.3
    camera_motion: str = 'none'

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            ParameterError: a value is not allowed.
        """
        for name, value, choices in (
            ('tracker', self.kind, TRACKERS),
            ('camera motion', self.camera_motion, CAMERA_MOTIONS),
        ):
            check_choice(name, value, choices)
        for name, number, low, high in (
            ('memory', self.memory, *MEMORY_S),
            ('score', self.score, 0.0, 1.0),
            ('sure score', self.sure_score, 0.0, 1.0),
            ('confirmations', self.confirmations, 1, 1000),
            ('overlap', self.overlap, 0.0, 1.0),
            ('low overlap', self.low_overlap, 0.0, 1.0),
            ('appearance', self.appearance, 0.0, 2.0),
        ):
            check_range(f'{name} of the tracker', number, low, high)

    def without_effect(self, least_score: float) -> list[str]:
        """What of this does nothing, in words that name the nodes' parameters.

        Args:
            least_score: of the detections that there are, 0..1.
        """
        if self.kind == 'none':
            changed = [
                f'track_{field.name}'
                for field in fields(self)
                if field.name != 'kind' and getattr(self, field.name) != field.default
            ]
            if not changed:
                return []
            return [f'{", ".join(changed)}: without effect, since `tracker` is none']
        if self.kind != 'sort' and least_score >= self.score:
            return [
                f'{self.kind} gets no weak detections to go on with, since score_threshold '
                f'{least_score:g} is not below track_score {self.score:g}: lower the one or raise '
                'the other'
            ]
        return []
