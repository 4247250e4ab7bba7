"""Every kind of picture is opened, and every kind of bad file is refused by name and in words."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mllmrec.pictures import MOST_PIXELS, BadPicture, opened

RED, GREEN = (255, 0, 0), (0, 128, 0)


def saved(folder, name, image, **how):
    image.save(folder / name, **how)
    return folder / name


def middle(image):
    return image.getpixel((image.width // 2, image.height // 2))


def near(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < 12


WRITTEN = {  # the modes that each format can hold
    "JPEG": "RGB L CMYK 1 YCbCr",
    "PNG": "RGB RGBA L LA P 1",
    "WEBP": "RGB RGBA L LA P CMYK 1 YCbCr",
    "GIF": "RGB RGBA L LA P 1",
    "BMP": "RGB RGBA L P 1",
    "TIFF": "RGB RGBA L LA P CMYK 1 YCbCr",
}


@pytest.mark.parametrize(
    ("form", "mode"), [(form, mode) for form, modes in WRITTEN.items() for mode in modes.split()]
)
def test_any_mode_of_any_format_is_read_as_rgb(tmp_path, form, mode):
    image = Image.new("RGB", (40, 30), RED).convert(mode)
    path = saved(tmp_path, "a.jpg", image, format=form)  # what it is, not what it is called
    made = opened(path)
    assert (made.mode, made.size) == ("RGB", (40, 30))
    assert near(middle(made), middle(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0, *RED])
        path = saved(tmp_path, "a.png", image, transparency=0)
    elif mode == "RGB":
        path = saved(tmp_path, "a.png", Image.new("RGB", (8, 8)), transparency=(0, 0, 0))
    else:
        path = saved(tmp_path, "a.png", Image.new(mode, (8, 8), (0,) * len(mode)))
    assert middle(opened(path)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", np.uint16), ("a.tiff", np.uint16), ("a.tiff", np.int32)]
)
def test_sixteen_bits_keep_their_greys(tmp_path, name, kind):
    levels = np.linspace(0, 65535, 64).astype(kind).reshape(8, 8)
    made = np.asarray(opened(saved(tmp_path, name, Image.fromarray(levels))))
    assert np.abs(made[..., 0] - levels / 257).max() < 1


def test_fractions_are_shown_from_their_darkest_to_their_brightest(tmp_path):
    path = saved(tmp_path, "a.tiff", Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)))
    assert [opened(path).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for form in ("GIF", "WEBP", "PNG"):
        path = saved(tmp_path, "a", frames[0], format=form, save_all=True, append_images=frames[1:])
        assert near(middle(opened(path)), RED)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_it_is_turned_as_the_camera_was_held(tmp_path):
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (0, 0, 10, 20))
    notes = Image.Exif()
    notes[0x0112] = 6  # a quarter to the right shows it upright
    path = saved(tmp_path, "a.jpg", image, exif=notes)
    made = opened(path)
    assert made.size == (20, 40)
    assert near(made.getpixel((10, 2)), GREEN)
    assert opened(path, 10).size == (5, 10)
    broken = saved(tmp_path, "b.jpg", image, exif=b"Exif\0\0MM\0*\0\0\xff\xff rubbish")
    assert opened(broken).size == (40, 20)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (640, 480)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_shrunk_to_the_longest_side_and_never_enlarged(tmp_path, size, name):
    path = saved(tmp_path, name, Image.new("RGB", size, RED))
    assert opened(path).size == size
    made = opened(path, 100)
    assert max(made.size) == min(100, max(size)) and min(made.size) >= 1
    assert near(middle(made), RED)


def test_a_large_jpeg_is_decoded_small(tmp_path, monkeypatch):
    path = saved(tmp_path, "a.jpg", Image.new("RGB", (4000, 3000), RED), quality=50)
    decoded = []
    monkeypatch.setattr(
        "mllmrec.pictures.turned", lambda image: decoded.append(image.size) or image
    )
    assert opened(path, 128).size == (128, 96)
    assert decoded == [(500, 375)]


def bomb(width, height):
    """A PNG of a few bytes whose head promises many pixels."""

    def chunk(kind, body):
        tail = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + tail

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def jpeg(size=(64, 64)):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def encoded(form):
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(file, form)
    return file.getvalue()


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"<html>404 not found</html>", "no picture of a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known"),
    "cut jpeg": (jpeg()[:1500], "broken or cut off"),
    "cut png": (encoded("PNG")[:2000], "broken or cut off"),
    "cut webp": (encoded("WEBP")[:1000], "broken or cut off|no picture"),
    "only a head": (jpeg()[:30], "broken or cut off|no picture"),
    "bomb": (bomb(9_000, 9_000), "9000 x 9000 pixels, more than the 80 million allowed"),
    "great bomb": (bomb(60_000, 60_000), "more than the 80 million allowed|more pixels than"),
    "spoilt png": (encoded("PNG")[:900] + bytes(50) + encoded("PNG")[950:], "broken or cut off"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("longest", [None, 32])
def test_a_bad_file_is_named_with_the_reason(tmp_path, kind, longest):
    data, why = BAD[kind]
    (tmp_path / "07.jpg").write_bytes(data)
    with pytest.raises(BadPicture, match=why) as told:
        opened(tmp_path / "07.jpg", longest)
    assert str(told.value).startswith("07.jpg: ")


def test_what_is_no_file_is_named_with_the_reason(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone")
    for name, why in {
        "gone.jpg": "no such file",
        "folder.jpg": "a folder, not a picture",
        "pipe.jpg": "neither a file nor a link to one",
        "dangling.jpg": "leads to no file",
    }.items():
        with pytest.raises(BadPicture, match=f"^{name}: {why}$"):
            opened(tmp_path / name)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden here")
def test_a_file_that_may_not_be_read(tmp_path):
    path = saved(tmp_path, "a.png", Image.new("RGB", (2, 2)))
    path.chmod(0)
    with pytest.raises(BadPicture, match="may not be read by this user"):
        opened(path)


def test_a_link_is_followed(tmp_path):
    path = saved(tmp_path, "a.png", Image.new("RGB", (3, 2)))
    (tmp_path / "b.png").symlink_to(path)
    assert opened(tmp_path / "b.png").size == (3, 2)


def test_nothing_is_decoded_of_a_picture_that_is_too_large(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(bomb(8000, MOST_PIXELS // 8000 + 1))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(BadPicture, match="more than the 80 million"):
        opened(tmp_path / "a.png")
