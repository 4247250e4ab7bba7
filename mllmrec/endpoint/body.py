"""A request as a server is sent it: the words, and pictures within them as data URLs."""

import base64
import io
from pathlib import Path
from typing import Any

from mllmrec.asking import Request
from mllmrec.pictures import opened

PHOTOGRAPHS = {".jpg", ".jpeg", ".webp"}  # what loses nothing that can be seen as JPEG


def messages(request: Request, longest: int) -> list[dict[str, Any]]:
    """One message: the pictures, their longer side at most ``longest`` pixels, then the text.

    Raises:
        BadPicture: a file gives no picture.
    """
    if not request.pictures:
        return [{"role": "user", "content": request.text}]
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_url(path, longest)}}
        for path in request.pictures
    ]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": request.text}]}]


def data_url(path: Path, longest: int) -> str:
    """The picture itself as an address: drawings as PNG, photographs as JPEG."""
    kind = "jpeg" if path.suffix.lower() in PHOTOGRAPHS else "png"
    content = io.BytesIO()
    opened(path, longest).save(content, format=kind, **({"quality": 90} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
