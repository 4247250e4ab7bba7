"""Pictures from outside, opened with care: of any mode, of any size, or no pictures at all."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Only what Pillow reads by itself: some of its other formats start programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 80_000_000  # 240 MB once decoded, and below the number that Pillow warns of
LEVELS = 1 << 16  # levels of a channel of 16 bits


class BadPicture(Exception):
    """A file that gives no picture; its text says why, in words for people."""


def opened(path: Path, longest: int | None = None) -> Image.Image:
    """The picture in RGB, its longer side at most ``longest`` pixels.

    It is turned as its camera says; of an animation it is the first frame; what is transparent
    lies on white; 16 bits a channel become 8. Links are followed: what a data folder links to is
    taken to be meant.

    Raises:
        BadPicture: it is broken, too large, no picture, or not there.
    """
    try:
        check_file(path)
        with Image.open(path, formats=FORMATS) as image:
            check_size(image.size)
            return read(image, longest)
    except BadPicture as error:
        raise BadPicture(f"{path.name}: {error}") from None
    except Exception as error:  # decoders raise whatever they like
        raise BadPicture(f"{path.name}: {reason(error)}") from error


def check_file(path: Path) -> None:
    """What can be said without opening the file; a pipe, for one, would never end."""
    if path.is_dir():
        raise BadPicture("a folder, not a picture")
    if not path.exists():
        raise BadPicture("leads to no file" if path.is_symlink() else "no such file")
    if not path.is_file():
        raise BadPicture("neither a file nor a link to one")
    if path.stat().st_size == 0:
        raise BadPicture("the file is empty")


def check_size(size: tuple[int, int]) -> None:
    """Refuse, by the header alone, what would take too much memory to decode."""
    if size[0] * size[1] > MOST_PIXELS:
        raise BadPicture(
            f"{size[0]} x {size[1]} pixels, more than the {MOST_PIXELS // 10**6} million allowed"
        )


def reason(error: Exception) -> str:
    """Why a file could not be read, in our words as far as we have some."""
    if isinstance(error, UnidentifiedImageError):
        return f"no picture of a known format ({', '.join(FORMATS)})"
    if isinstance(error, PermissionError):
        return "may not be read by this user"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more pixels than the {MOST_PIXELS // 10**6} million allowed"
    return f"broken or cut off ({error or type(error).__name__})"


def read(image: Image.Image, longest: int | None) -> Image.Image:
    """Decode, turn, make RGB and shrink what was opened."""
    if longest:
        share = min(1.0, 2 * longest / max(image.size))  # twice as large as needed looks the same
        wanted = [max(1, round(side * share)) for side in image.size]
        image.draft(None, (wanted[0], wanted[1]))  # a JPEG is decoded no larger; others ignore it
    image.load()
    made = flat(turned(image))
    if longest and max(made.size) > longest:
        made.thumbnail((longest, longest))
    return made


def turned(image: Image.Image) -> Image.Image:
    """As the camera was held; notes that cannot be read are no reason to refuse the picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def flat(image: Image.Image) -> Image.Image:
    """In RGB, on white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """A picture of one deep channel in 256 levels.

    Of 16 bits all levels count; of more, or of fractions, which have no white of their own, those
    from the darkest to the brightest pixel.
    """
    levels = np.asarray(image).astype(np.float64)
    has_white = image.mode != "F" and levels.min() >= 0 and levels.max() < LEVELS
    low, high = (0.0, LEVELS - 1.0) if has_white else (float(levels.min()), float(levels.max()))
    scaled = (levels - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.nan_to_num(scaled).round().astype(np.uint8))
