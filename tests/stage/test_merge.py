from tests.launching import config, ids


def test_how_it_is_checked_changes_no_identity():
    words = ("merge.check_samples=2", "merge.tolerance.float32=0.1")
    assert ids(*words)["merge"] == ids()["merge"]


def test_it_stands_on_the_adapter_and_its_base():
    made = config()
    assert made.stages["merge"].inputs(made).keys() == {"prepare", "captions", "sft", "model"}


def test_a_backbone_that_exists_is_not_built(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    made = config("backbone=qwen3_0_6b", f"backbone.path={tmp_path}")
    assert "model" not in made.stages["merge"].inputs(made)
    assert "pretrain" not in ids("backbone=qwen3_0_6b", f"backbone.path={tmp_path}")
