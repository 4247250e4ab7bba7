"""What is said of a base model: its name, and the licence that its own card states."""

import logging

import pytest

from mllmrec.serving.base import OWN, hub_name, licence_of, told
from tests.launching import config


def backbone(path):
    return config("backbone=qwen3_0_6b", f"backbone.path={path}").backbone


def folder(tmp_path, card):
    (tmp_path / "config.json").write_text("{}")
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    return backbone(tmp_path)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\ntags: [x]\n---\n# A model\n", "mit"),
        ("---\ntags: [x]\n---\n# A model\n", None),
        ("# A model\nlicense: mit\n", None),
        ("---\n: [\n---\n", None),
        ("---\nlicense: [mit]\n---\n", None),
        (None, None),
    ],
)
def test_a_folders_licence_is_what_its_own_card_says(tmp_path, card, licence, caplog):
    with caplog.at_level(logging.WARNING, logger="mllmrec"):
        assert licence_of(folder(tmp_path, card)) == licence
    assert bool(caplog.messages) == (licence is None)


def test_a_folder_is_named_by_its_content_and_never_by_its_place(tmp_path):
    base = folder(tmp_path, None)
    assert hub_name(base) is None and str(tmp_path) not in told(base)
    assert base.content in told(base)


def test_a_model_of_a_hub_goes_by_its_name_and_one_that_is_built_here_by_none(caplog):
    base = backbone("some/model")
    assert hub_name(base) == told(base) == "some/model"
    assert licence_of(base) is None  # the hub cannot be reached from tests
    own = config().backbone
    assert hub_name(own) is None and licence_of(own) == OWN
