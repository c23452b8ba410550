"""Pieces of work for the processes of a replay, which find them in this module by name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from trt_perception.errors import OutputError


@dataclass(frozen=True)
class Counts:
    """Is done, and tells of so many images."""

    images: int

    def run(self, tell):
        for _ in range(self.images):
            tell(1)


@dataclass(frozen=True)
class Fails:
    """Cannot be done."""

    def run(self, tell):
        raise OutputError('the disk is full')


@dataclass(frozen=True)
class Ends:
    """Takes its process with it, as the kernel does where memory runs out."""

    def run(self, tell):
        os._exit(9)


class Works:
    """Hands out the given pieces, and then one more for each that is done, once."""

    def __init__(self, *works):
        self.waiting = list(works)
        self.finished = []

    def next(self):
        return self.waiting.pop(0) if self.waiting else None

    def done(self, work):
        if not self.finished:
            self.waiting.append(Counts(1000))
        self.finished.append(work)
