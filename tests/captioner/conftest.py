"""Pictures to be shown to models."""

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Three of one colour each, named after it."""
    folder = tmp_path_factory.mktemp("pictures")
    made = [folder / f"{colour}.png" for colour in ("red", "green", "blue")]
    for path in made:
        Image.new("RGB", (64, 96), path.stem).save(path)
    return made
