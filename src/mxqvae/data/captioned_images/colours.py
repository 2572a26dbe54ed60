"""Colours of other devices, CMYK and wide-gamut RGB, to sRGB."""

import io
from functools import lru_cache

from PIL import Image, ImageCms

_SPACE = slice(16, 20)  # where a profile's header says what its colours are, such as b"RGB " or b"CMYK"


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image of mode RGB or CMYK to sRGB, by its colour profile (ICC) where that is of use."""
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        converted = ImageCms.applyTransform(image, transform)
        if converted is not None:
            return converted
    return image.convert("RGB")


@lru_cache(maxsize=16)  # images of one camera share a profile
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where the profile is damaged, made for other colours, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if profile[_SPACE].strip() != mode.encode() or "srgb" in _description(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _description(profile: ImageCms.ImageCmsProfile) -> str:
    return ImageCms.getProfileDescription(profile)
