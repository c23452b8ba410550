"""The three small networks: one backbone and neck, three heads.

Plain convolutions, ReLU and nearest or fixed up-sampling only, with at least 16 channels
everywhere, so that they quantise well and run on every backend. The ideas come from the
literature: cross-stage partial blocks (Wang et al. 2019), path aggregation (Liu et al. 2018),
spatial pyramid pooling (He et al. 2014), distances as distributions (Li et al. 2020),
prototype masks (Bolya et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
BINS = 16
"""Bins of the distribution over the distance from an anchor to a side, in strides."""
PROTOTYPES = 32


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv(channels, channels, 3)
        self.second = Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Partial(nn.Module):
    """Half of the channels pass residual blocks, the other half does not."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        half = outputs // 2
        self.through = Conv(inputs, half)
        self.past = Conv(inputs, half)
        self.blocks = nn.Sequential(*(Residual(half) for _ in range(depth)))
        self.join = Conv(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat((self.blocks(self.through(x)), self.past(x)), 1))


class Pyramid(nn.Module):
    """Three max poolings one behind the other widen the view."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = Conv(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.reduce(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        return self.join(torch.cat(views, 1))


class Backbone(nn.Module):
    """Features at strides 4, 8, 16 and 32 with 32, 64, 96 and 112 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), Partial(32, 32, 1))
        self.eighth = nn.Sequential(Conv(32, 64, 3, 2), Partial(64, 64, 2))
        self.sixteenth = nn.Sequential(Conv(64, 96, 3, 2), Partial(96, 96, 2))
        self.last = nn.Sequential(Conv(96, 112, 3, 2), Partial(112, 112, 1), Pyramid(112))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fourth = self.stem(x)
        eighth = self.eighth(fourth)
        sixteenth = self.sixteenth(eighth)
        return fourth, eighth, sixteenth, self.last(sixteenth)


class TopDown(nn.Module):
    """Coarse features join the finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = Conv(112, 96)
        self.middle = Partial(192, 96, 1)
        self.narrow = Conv(96, 64)
        self.fine = Partial(128, 64, 1)

    def forward(self, eighth: Tensor, sixteenth: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        coarse = self.reduce(last)
        middle = self.middle(torch.cat((double(coarse), sixteenth), 1))
        narrow = self.narrow(middle)
        return self.fine(torch.cat((double(narrow), eighth), 1)), narrow, coarse


class BottomUp(nn.Module):
    """Fine features join the coarser ones again; 64 channels at all three strides."""

    def __init__(self) -> None:
        super().__init__()
        self.down_fine = Conv(64, 64, 3, 2)
        self.middle = Partial(128, 64, 1)
        self.down_middle = Conv(64, 64, 3, 2)
        self.coarse = Partial(160, 64, 1)

    def forward(self, fine: Tensor, narrow: Tensor, coarse: Tensor) -> list[Tensor]:
        middle = self.middle(torch.cat((self.down_fine(fine), narrow), 1))
        last = self.coarse(torch.cat((self.down_middle(middle), coarse), 1))
        return [fine, middle, last]


class Head(nn.Module):
    """Boxes, classes and, for instances, mask coefficients of every anchor of one stride."""

    def __init__(self, classes: int, coefficients: int) -> None:
        super().__init__()
        wide = 32 if coefficients else 40  # keeps the file under four megabytes
        self.boxes = nn.Sequential(
            Conv(64, wide, 3), Conv(wide, wide, 3), nn.Conv2d(wide, 4 * BINS, 1)
        )
        self.classes = nn.Sequential(
            Conv(64, wide, 3), Conv(wide, wide, 3), nn.Conv2d(wide, classes, 1)
        )
        nn.init.constant_(self.classes[-1].bias, -4.6)
        self.masks = (
            nn.Sequential(Conv(64, 24, 3), nn.Conv2d(24, coefficients, 1)) if coefficients else None
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.boxes(x), self.classes(x)]
        if self.masks is not None:
            parts.append(self.masks(x))
        joined = torch.cat(parts, 1)
        channels, height, width = (int(extent) for extent in joined.shape[1:])
        return joined.reshape(-1, channels, height * width)


class StreetDetector(nn.Module):
    """Boxes and classes; with `instances` also prototypes and coefficients.

    `forward` returns the raw head [B, 4*BINS + classes (+ coefficients), N] and the prototypes
    [B, 32, H/4, W/4] or None. `decoded` returns what the ONNX file gives.
    """

    def __init__(self, classes: int, *, instances: bool = False) -> None:
        super().__init__()
        self.class_count = classes
        self.backbone = Backbone()
        self.top_down = TopDown()
        self.bottom_up = BottomUp()
        coefficients = PROTOTYPES if instances else 0
        self.heads = nn.ModuleList(Head(classes, coefficients) for _ in STRIDES)
        self.prototypes = (
            nn.ModuleList((Conv(64, 32, 3), Conv(32, 32, 3), Conv(32, PROTOTYPES)))
            if instances
            else None
        )
        self.register_buffer('bins', torch.arange(BINS).float().view(1, 1, BINS, 1), False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        _, eighth, sixteenth, last = self.backbone(images)
        fine, narrow, coarse = self.top_down(eighth, sixteenth, last)
        levels = self.bottom_up(fine, narrow, coarse)
        raw = torch.cat([head(level) for head, level in zip(self.heads, levels, strict=True)], 2)
        if self.prototypes is None:
            return raw, None
        first, second, third = self.prototypes
        return raw, third(second(double(first(fine))))

    def distances(self, raw: Tensor) -> Tensor:
        """Expected distances [B, 4, N] left, top, right, bottom, in strides."""
        shares = raw[:, : 4 * BINS].reshape(-1, 4, BINS, int(raw.shape[2])).softmax(2)
        return (shares * self.bins).sum(2)

    def decoded(self, images: Tensor) -> tuple[Tensor, ...]:
        """[B, 4 + classes (+ coefficients), N] with cx cy w h in pixels, and the prototypes."""
        raw, prototypes = self(images)
        height, width = (int(extent) for extent in images.shape[-2:])
        points, strides = anchors(height, width, images.device)
        distances = self.distances(raw)
        low = points.T[None] - distances[:, :2] * strides
        high = points.T[None] + distances[:, 2:] * strides
        classes = raw[:, 4 * BINS : 4 * BINS + self.class_count].sigmoid()
        rest = raw[:, 4 * BINS + self.class_count :]
        output = torch.cat(((low + high) / 2, high - low, classes, rest), 1)
        return (output,) if prototypes is None else (output, prototypes)


class StreetSegmenter(nn.Module):
    """Class scores of every second pixel: logits [B, classes, H/2, W/2]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.top_down = TopDown()
        self.lift = Conv(64, 48)
        self.mix = nn.Sequential(Conv(80, 48, 3), Residual(48))
        self.score = nn.Conv2d(48, 4 * classes, 1)
        self.spread = nn.PixelShuffle(2)

    def forward(self, images: Tensor) -> Tensor:
        fourth, eighth, sixteenth, last = self.backbone(images)
        fine, _, _ = self.top_down(eighth, sixteenth, last)
        mixed = self.mix(torch.cat((double(self.lift(fine)), fourth), 1))
        return self.spread(self.score(mixed))


def double(x: Tensor) -> Tensor:
    """Twice as wide and high, by repetition."""
    return functional.interpolate(x, scale_factor=2.0, mode='nearest')


def anchors(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Anchor points [N, 2] (x, y) in pixels and their strides [N], finest level first."""
    points, strides = [], []
    for stride in STRIDES:
        ys = (torch.arange(height // stride, device=device) + 0.5) * stride
        xs = (torch.arange(width // stride, device=device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(ys, xs, indexing='ij')
        points.append(torch.stack((grid_x, grid_y), -1).reshape(-1, 2))
        strides.append(torch.full((grid_x.numel(),), float(stride), device=device))
    return torch.cat(points), torch.cat(strides)


def fold_batch_norm(model: nn.Module) -> None:
    """Work every batch norm into the convolution before it, in place; for export."""
    for module in model.modules():
        if isinstance(module, Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
