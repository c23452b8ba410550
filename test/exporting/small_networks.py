"""Networks that tests export. Imports torch."""

from __future__ import annotations

import torch
from torch import nn


class Semantic(nn.Module):
    """Scores of three classes at half the size, as torchvision's models give them: in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, 3, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return {'out': self.head(self.dropout(self.body(images)))}


class Detector(nn.Module):
    """A YOLOv8-style head of two classes over an 8 pixel grid of 64x32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 6, 8, 8)

    def forward(self, images):
        raw = self.body(images).flatten(2)
        return torch.cat([raw[:, :4].sigmoid() * 32, raw[:, 4:].sigmoid()], 1)


class Chance(nn.Module):
    """Answers otherwise each time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, images):
        return self.conv(images) + torch.rand(())


def semantic():
    torch.manual_seed(0)
    return Semantic()


def detector():
    torch.manual_seed(0)
    return Detector()


def chance():
    return Chance()


def nothing():
    return 3


def broken():
    raise KeyError('no such configuration')
