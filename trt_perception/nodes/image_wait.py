"""Waits for images in a thread of our own, past the executor.

rclpy's executors build everything they wait for anew after each callback, several times for one
image, which takes longer than many a network. They also hand an image over from one thread to
another, while both want Python's one lock. Here a thread waits for the images alone, with what
`rclpy.wait_for_message` uses; services, timers and parameters stay with the executor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation

from trt_perception.errors import MissingDependencyError

_NS = 10**9


class OwnThread(CallbackGroup):
    """Callbacks that no executor may run: a thread of their own takes their messages."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing has begun."""


class _InUse:
    """Keeps parts of rclpy from being destroyed; leaves sooner than a contextlib.ExitStack.

    An image is there already when it leaves: on a cold cache that stack takes 30 microseconds.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self._entered = 0

    def __enter__(self) -> None:
        try:
            for part in self._parts:
                part.__enter__()
                self._entered += 1
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        for part in self._parts[: self._entered]:
            part.__exit__(None, None, None)


class ImageWait:
    """Sleeps until one of several subscriptions has a message, or until `wake`."""

    def __init__(self, context: Context, handles: Sequence[Any]) -> None:
        """Prepare.

        Args:
            context: of the node.
            handles: of the subscriptions; they must live as long as this.

        Raises:
            MissingDependencyError: rclpy, whose inner parts this uses, has changed.
        """
        self._context = context
        self._handles = tuple(handles)
        try:
            with context.handle:
                self._alarm = rclpy_implementation.GuardCondition(context.handle)
                self._set = rclpy_implementation.WaitSet(
                    len(self._handles), 1, 0, 0, 0, 0, context.handle
                )
        except (AttributeError, TypeError) as error:  # no public part of rclpy offers this
            raise MissingDependencyError(
                f'this rclpy ({os.environ.get("ROS_DISTRO") or "of an unknown distribution"}) '
                f'cannot wait for images as those of Humble to Kilted do: {error}. Use one of these'
            ) from error

    def wait(self, timeout_s: float | None) -> None:
        """Sleep; None waits without an end. Returns early without a reason now and then."""
        with _InUse((self._context.handle, self._alarm, *self._handles)):
            self._set.clear_entities()
            for handle in self._handles:
                self._set.add_subscription(handle)
            self._set.add_guard_condition(self._alarm)
            self._set.wait(-1 if timeout_s is None else round(timeout_s * _NS))

    def wake(self) -> None:
        """End a wait that is going on, or the next one. Any thread may call it."""
        with self._alarm:
            self._alarm.trigger_guard_condition()
