"""Requests as they are sent: pictures as data URLs, made small, before the text."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from mllmrec.asking import Request
from mllmrec.endpoint.body import messages
from mllmrec.pictures import BadPicture


def test_words_alone_are_a_plain_message() -> None:
    assert messages(Request(id="a", text="hi"), 64) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [("a.png", "RGBA", "png"), ("a.gif", "P", "png"), ("a.jpg", "L", "jpeg")],
)
def test_a_picture_is_sent_small_and_before_the_text(
    tmp_path: Path, name: str, mode: str, kind: str
) -> None:
    path = tmp_path / name
    Image.new(mode, (200, 100)).save(path)
    [message] = messages(Request(id="a", text="hi", pictures=(path, path)), 64)
    first, second, text = message["content"]
    assert first == second and text == {"type": "text", "text": "hi"}
    head, _, content = first["image_url"]["url"].partition(",")
    assert head == f"data:image/{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as sent:
        assert (sent.size, sent.mode) == ((64, 32), "RGB")


def test_no_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match=r"gone\.png"):
        messages(Request(id="a", text="hi", pictures=(tmp_path / "gone.png",)), 64)
