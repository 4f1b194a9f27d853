"""Decodes image files to the pixels that a processor of transformers would use."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from spaces.names import shortened
from workers.data.image_files import Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
"""Maximum number of pixels of an image."""
WHITES = (1.0, 255.0, 65535.0)
"""Candidates for the value of white in gray images, ascending: all for floats, without 1.0 for 32-bit integers."""


def decoded(data: bytes) -> Image:
    """Return the RGB image of a file, rotated as its EXIF data says, as a processor of transformers would read it.

    Transparent pixels get a white background. Gray values of 16 bits, 32 bits and floats are scaled to 8 bits, which
    Pillow's own conversion would clip.

    Raises:
        Unreadable: the bytes are not a valid image, or it is too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about its own limit on pixels, which is higher
            opened = Image.open(BytesIO(data))
            if opened.width * opened.height > MAX_PIXELS:
                raise Unreadable(
                    f"{opened.width} x {opened.height} pixels, at most {MAX_PIXELS // 10**6} megapixels are read"
                )
            return _rgb(ImageOps.exif_transpose(opened))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image file") from None
    except Exception as error:  # Pillow's readers have no common exception for broken files
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
    """Return gray values of 16 bits, 32 bits or floats, (height, width), scaled to uint8.

    Raises:
        Unreadable: no candidate of `WHITES` is at least the largest value, or a value is negative or NaN.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if mode.startswith("I;16"):
        white: float | None = WHITES[-1]
    else:
        white = next((white for white in WHITES[mode == "I" :] if high <= white), None)
    if white is None or not low >= 0:
        raise Unreadable(f"gray values from {low:.4g} to {high:.4g} don't determine the value of white")
    return (pixels.astype(np.float64) * (255 / white) + 0.5).astype(np.uint8)
