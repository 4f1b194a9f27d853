"""Image files as the pixels that a model's processor makes of them."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from spaces.names import shortened
from workers.data.image_files import Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 100_000_000
WHITES = (1.0, 255.0, 65535.0)
"""Values of white in pictures of floats and of 32-bit integers, smallest first; 1 is for floats alone."""


def decoded(data: bytes) -> Image:
    """Return the upright RGB image in the bytes of a file: as a processor of transformers makes it.

    Transparent pixels stand on white, as there. Gray of 16 bits and of floats is scaled to 8 bits, where a plain
    conversion clips it. Raises Unreadable.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own limit on pixels, below which ours is
            opened = Image.open(BytesIO(data))
            if opened.width * opened.height > MOST_PIXELS:
                raise Unreadable(
                    f"{opened.width} x {opened.height} pixels, at most {MOST_PIXELS // 10**6} megapixels are read"
                )
            return _rgb(ImageOps.exif_transpose(opened))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image file") from None
    except Exception as error:  # Pillow's readers raise whatever a broken file makes them stumble over
        raise Unreadable(f"{type(error).__name__}: {shortened(' '.join(str(error).split()))}") from None


def _rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if "A" in image.getbands() or "a" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Return (height, width) uint8 of gray that is stored otherwise. Raises Unreadable where white is not known."""
    low, high = float(pixels.min()), float(pixels.max())
    if mode.startswith("I;16"):
        white: float | None = WHITES[-1]
    else:
        white = next((white for white in WHITES[mode == "I" :] if high <= white), None)
    if white is None or not low >= 0:
        raise Unreadable(f"gray values from {low:.4g} to {high:.4g} don't say what white is")
    return (pixels.astype(np.float64) * (255 / white) + 0.5).astype(np.uint8)
