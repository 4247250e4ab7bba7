"""The small models, written once a session, and pictures to show them."""

import pytest
from PIL import Image

from tests.local.tiny import write_llava, write_qwen3_vl, write_text_model


@pytest.fixture(scope="session")
def text_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    write_text_model(folder)
    return folder


@pytest.fixture(scope="session", params=[write_qwen3_vl, write_llava], ids=["qwen3_vl", "llava"])
def seeing_model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeing")
    request.param(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Three posters of unlike colours and sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    made = [folder / f"{colour}.png" for colour in ("red", "green", "blue")]
    for number, path in enumerate(made):
        picture = Image.new("RGB", (64 + 32 * number, 64), path.stem)
        picture.paste((250, 240, 10), (5 + 20 * number, 5, 30 + 20 * number, 60))
        picture.save(path)
    return made
