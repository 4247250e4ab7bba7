"""A model and a tokenizer of the tiny backbone's make, with random weights."""

import polars as pl
import pytest
from hydra import compose, initialize_config_dir

from mllmrec.records import ITEMS, SAMPLES, SEQUENCES, Prepared
from mllmrec.schema import validate

TITLES = {
    "1": "Dark River",
    "2": "Golden Storm",
    "03": "The <b>, Last",
    "x y": "Heart",
    "caf\u00e9": "\u00c9t\u00e9",
}


@pytest.fixture(scope="session")
def config(root):
    """The default config, validated."""
    from omegaconf import OmegaConf

    with initialize_config_dir(version_base="1.3", config_dir=str(root / "conf")):
        tree = compose("config", overrides=["backbone.layers=2", "backbone.hidden_size=32"])
    return validate(OmegaConf.to_container(tree, resolve=True))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Four items and two users, as the stage `prepare` leaves them."""
    folder = tmp_path_factory.mktemp("prepared")
    items = [(item, title, None, ["g"], None) for item, title in TITLES.items()]
    pl.DataFrame(items, schema=ITEMS, orient="row").write_parquet(folder / "items.parquet")
    rows = [("u:3", "u", ["1", "2"], "03"), ("v:3", "v", ["x y", "1"], "2")]
    samples = pl.DataFrame(rows, schema=SAMPLES, orient="row")
    for split in ("train", "validation", "test"):
        name = "train" if split == "train" else "uni2"
        candidates = pl.Series(name, [["2", "03", "x y"], ["03", "2", "x y"]])
        samples.with_columns(candidates).write_parquet(folder / f"{split}.parquet")
    sequences = [("u", ["1", "2", "03"]), ("v", ["x y", "1", "2"])]
    pl.DataFrame(sequences, schema=SEQUENCES, orient="row").write_parquet(
        folder / "sequences.parquet"
    )
    return Prepared(folder)


@pytest.fixture(scope="session")
def tokenizer(config, prepared):
    from mllmrec.training.pretrain import build_tokenizer

    return build_tokenizer(config.backbone, prepared, config.prompt, config.groups["words"])


@pytest.fixture
def model(config, tokenizer):
    import torch
    from transformers import Qwen3ForCausalLM

    from mllmrec.training.pretrain import shape

    torch.manual_seed(0)
    return Qwen3ForCausalLM(shape(config.backbone, tokenizer))
