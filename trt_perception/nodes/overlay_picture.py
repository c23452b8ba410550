"""The picture that overlay_node makes of an image and of the messages of the same stamp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.drawing.drawn import DrawnCaption, DrawnClasses, DrawnObjects, Status
from trt_perception.drawing.masks import blend_masks, blend_semantic
from trt_perception.drawing.overlay import draw_legend, draw_overlay
from trt_perception.drawing.style import OverlayStyle
from trt_perception.model_spec import Color
from trt_perception.nodes.overlay_masks import (
    bounded,
    drawn_classes,
    is_instance_mask,
    mask_pixels,
    without_named,
)
from trt_perception.nodes.overlay_objects import drawn_caption, drawn_objects, with_key_points
from trt_perception.nodes.overlay_parameters import OverlayParameters

_SECOND_TINT = 0.6
"""Opacity of instance masks over a semantic one, which has tinted the same things already."""

_STYLE = tuple(field.name for field in fields(OverlayStyle))


@dataclass(frozen=True)
class OverlayPainter:
    """Draws pictures.

    Attributes:
        parameters: what is drawn, and how.
        names: of each input, the names of its classes by index.
        color_of: RGB by the name of a class.
    """

    parameters: OverlayParameters
    names: Mapping[str, Mapping[int, str]]
    color_of: Callable[[str], Color]

    def picture(
        self, image: NDArray[np.uint8], items: Mapping[str, Any], status: Status
    ) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] BGR with everything drawn that is there; `image` stays as it is.

        Args:
            image: uint8 [H, W, 3] BGR.
            items: the messages of its stamp, by the name of their input.
            status: what is written at the rim.
        """
        style = OverlayStyle(**{name: getattr(self.parameters, name) for name in _STYLE})
        classes, id_image = self._masks(items, (image.shape[1], image.shape[0]))
        objects = self._objects('detections', items)
        owners = objects if 'instances' not in items else self._objects('instances', items)
        picture = np.array(image, np.uint8, order='C')
        opacity = style.mask_opacity
        if classes is not None:
            blend_semantic(picture, classes.class_ids, classes.colors, opacity)
            opacity *= _SECOND_TINT
        if id_image is not None and owners is not None:
            blend_masks(picture, id_image, bounded(owners.boxes), owners.colors, opacity, 1)
        picture = draw_overlay(
            picture,
            objects=self._posed(objects, items),
            caption=self._caption(items),
            status=status,
            style=style,
        )
        if classes is not None and style.legend:
            draw_legend(picture, without_named(classes, objects), style)
        return picture

    def _masks(
        self, items: Mapping[str, Any], size: tuple[int, int]
    ) -> tuple[DrawnClasses | None, NDArray[np.uint16] | None]:
        """The class and the object of each pixel, None where nobody tells."""
        classes = id_image = None
        for name in ('mask', 'instance_mask'):
            message = items.get(name)
            if message is None or not self.parameters.masks:
                continue
            pixels = mask_pixels(message, size)
            if is_instance_mask(message):
                id_image = pixels
            else:
                classes = drawn_classes(pixels, self.names['mask'], self.color_of)
        return classes, id_image

    def _objects(self, name: str, items: Mapping[str, Any]) -> DrawnObjects | None:
        message = items.get(name)
        if message is None:
            return None
        return drawn_objects(message, self.names[name], self.color_of)

    def _posed(self, objects: DrawnObjects | None, items: Mapping[str, Any]) -> DrawnObjects | None:
        """The objects with the key points of the same stamp."""
        message = items.get('key_points')
        if message is None:
            return objects
        return with_key_points(objects, message, self.names['detections'], self.color_of)

    def _caption(self, items: Mapping[str, Any]) -> DrawnCaption | None:
        message = items.get('classification')
        if message is None:
            return None
        return drawn_caption(message, self.names['classification'], self.color_of)
