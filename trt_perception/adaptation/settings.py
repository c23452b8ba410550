"""What adaptation aims at, and how patient it is."""

from __future__ import annotations

import math

import msgspec

from trt_perception.allowed_values import check_range


class AdaptationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When to move between the variants of a model.

    Attributes:
        target_latency_ms: what a frame may take, from its arrival to its result.
        headroom: a more accurate variant is tried when it is expected to need at most this
            share of the target, 0..1.
        window: the latency is the median of so many newest frames, at least 3.
        slow_s: seconds that the latency must lie over the target before a faster one is taken.
        calm_s: seconds that everything must be well before a more accurate one is tried.
        longest_calm_s: `calm_s` doubles up to this after each try that had to be taken back.
        temperature_limit_c: from this temperature of the GPU on a faster one is taken.
        temperature_margin_c: a more accurate one waits until it is so many degrees cooler.
        power_limit: the same for the power drawn, as a share of the GPU's own limit, 0..1.
        load_limit: a more accurate one waits while the processor that runs the network is
            busier than this share, 0..1.
    """

    target_latency_ms: float
    headroom: float = 0.8
    window: int = 15
    slow_s: float = 1.0
    calm_s: float = 10.0
    longest_calm_s: float = 300.0
    temperature_limit_c: float = 85.0
    temperature_margin_c: float = 5.0
    power_limit: float = 0.98
    load_limit: float = 0.95

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            ParameterError: a value is not allowed.
        """
        for name, value, low, high in (
            ('target_latency_ms', self.target_latency_ms, 0.0, math.inf),
            ('headroom', self.headroom, 0.0, 1.0),
            ('power_limit', self.power_limit, 0.0, 1.0),
            ('load_limit', self.load_limit, 0.0, 1.0),
        ):
            check_range(f'adaptation: {name}', value, low, high, above_low=True)
        for name, value, low, high in (
            ('window', self.window, 3, math.inf),
            ('slow_s', self.slow_s, 0.0, math.inf),
            ('longest_calm_s', self.longest_calm_s, 0.0, math.inf),
            ('calm_s', self.calm_s, 0.0, self.longest_calm_s),
            ('temperature_margin_c', self.temperature_margin_c, 0.0, math.inf),
        ):
            check_range(f'adaptation: {name}', value, low, high)


class MachineState(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine is doing; None for what it does not say.

    Attributes:
        temperature_c: of the GPU, degrees Celsius.
        power: drawn by the GPU, as a share of its limit.
        load: how busy the processor is that runs the network, 0..1.
    """

    temperature_c: float | None = None
    power: float | None = None
    load: float | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of variant.

    Attributes:
        origin, target: indices of the variants, 0 the most accurate.
        reason: in words.
    """

    origin: int
    target: int
    reason: str
