"""Letters, as coverage maps. Pillow draws them with the font that it brings along (CC0)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_NOT_A_CHARACTER = '\U0010ffff'


@lru_cache(maxsize=2048)
def text_coverage(text: str, height_px: int) -> NDArray[np.uint8]:
    """Draw one line of text.

    Args:
        text: any; characters that the font lacks are replaced, see `drawable`.
        height_px: nominal size of the letters.

    Returns:
        uint8 [H, W], 0 to 255, read-only. H is the same for all texts of one size, so that
        texts side by side stand on one line; W is 0 for an empty text.
    """
    font = _font(height_px)
    shown = drawable(text)
    ascent, descent = font.getmetrics()
    width = round(font.getlength(shown))
    if width == 0:
        return np.zeros((ascent + descent, 0), np.uint8)
    canvas = Image.new('L', (width, ascent + descent))
    ImageDraw.Draw(canvas).text((0, 0), shown, fill=255, font=font)
    coverage = np.array(canvas, np.uint8)
    coverage.flags.writeable = False
    return coverage


@lru_cache(maxsize=2048)
def drawable(text: str) -> str:
    """`text` in characters of the font: accents are dropped, the unknown become '?'."""
    return ''.join(
        character if _has_glyph(character) else _plain(character)
        for character in unicodedata.normalize('NFC', text)
    )


def _plain(character: str) -> str:
    if character.isspace():
        return ' '
    for form in (character, character.casefold()):
        bare = [c for c in unicodedata.normalize('NFKD', form) if not unicodedata.combining(c)]
        if bare and all(_has_glyph(c) for c in bare):
            return ''.join(bare)
    return '?'


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    if not character.isprintable():
        return False
    font = _font(20)
    mask, missing = font.getmask(character), font.getmask(_NOT_A_CHARACTER)
    return mask.size != missing.size or bytes(mask) != bytes(missing)


@lru_cache(maxsize=32)
def _font(height_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(height_px)
    assert isinstance(font, ImageFont.FreeTypeFont), 'Pillow was built without FreeType'
    return font
