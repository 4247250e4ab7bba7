"""Rankings of the policies that need no model, on a toy dataset."""

from itertools import pairwise
from types import SimpleNamespace

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.rank import POLICIES, Rank, write_ranking
from tests.launching import SMALL, config, make


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return make(Store(root=tmp_path_factory.mktemp("store")), "stage=prepare", *SMALL)["prepare"]


def stage(policy, **more):
    goal = config("prepare.protocols=[uni9]").goal
    made = goal.inputs(config("prepare.protocols=[uni9]"))[policy]
    return made.model_copy(update=more)


def rank(prepared, tmp_path, policy, seed=0):
    job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=seed)
    stage(policy).run(job)
    return pl.read_parquet(tmp_path / "uni9.parquet")


def test_every_candidate_is_ranked_once_and_the_rank_is_the_targets_place(prepared, tmp_path):
    table = rank(prepared, tmp_path, "popularity")
    samples = Prepared(prepared.folder).samples("test")
    assert table["sample_id"].to_list() == samples["sample_id"].to_list()
    assert set(table["policy"]) == {"popularity"} and set(table["protocol"]) == {"uni9"}
    rows = zip(table.iter_rows(named=True), samples.iter_rows(named=True), strict=True)
    for row, sample in rows:
        assert sorted(row["ranked"]) == sorted(sample["uni9"])
        assert row["ranked"].index(sample["target"]) + 1 == row["rank"]
        assert row["scores"] == sorted(row["scores"], reverse=True)


def test_the_oracle_ranks_by_the_scores_that_prepare_stored(prepared, tmp_path):
    table = rank(prepared, tmp_path, "oracle")
    stored = pl.read_parquet(prepared.folder / "oracle.parquet").filter(protocol="uni9")
    scores = dict(zip(stored["sample_id"], stored["scores"].to_list(), strict=True))
    for row in table.iter_rows(named=True):
        assert row["scores"] == sorted(scores[row["sample_id"]], reverse=True)
    hits = (table["rank"] <= 3).mean()
    assert hits == pytest.approx(prepared.manifest["metrics"]["oracle/uni9/hr@3"])
    assert hits > (rank(prepared, tmp_path, "random")["rank"] <= 3).mean()


def test_chance_depends_on_the_seed_and_popularity_does_not_but_for_ties(prepared, tmp_path):
    first, same, other = (
        rank(prepared, tmp_path, "random", seed=seed)["rank"].to_list() for seed in (1, 1, 2)
    )
    assert first == same != other
    assert sorted(set(first)) == list(range(1, 11))


def test_unequal_numbers_of_candidates(tmp_path):
    job = SimpleNamespace(out=tmp_path, seed=0)
    rows = {"sample_id": ["1", "2"], "target": ["a", "d"], "full": [["a", "b", "c"], ["d", "e"]]}
    write_ranking(job, "x", "full", pl.DataFrame(rows), [[1.0, 3.0, 2.0], [1.0, 0.5]])
    table = pl.read_parquet(tmp_path / "full.parquet")
    assert table["ranked"].to_list() == [["b", "c", "a"], ["d", "e"]]
    assert table["scores"].to_list() == [[3.0, 2.0, 1.0], [1.0, 0.5]]
    assert table["rank"].to_list() == [3, 1]


def test_each_policy_stands_on_what_it_needs_and_on_no_more():
    made = config()
    needs = {policy: set(stage(policy).inputs(made)) for policy in POLICIES}
    for policy in ("random", "popularity", "cooccurrence", "oracle"):
        assert needs[policy] == {"prepare"}
        assert set(stage(policy).effective(made)) == {"knobs"}  # no backbone, no prompt
    for policy in ("backbone", "backbone_text", "sft"):
        assert needs[policy] == {"prepare", "captions", "model"}
    for policy in ("grpo", "sft_continued"):
        assert needs[policy] == {"prepare", "captions", "model", "adapter"}
        assert stage(policy).inputs(made)["adapter"].name == policy
    assert stage("backbone").inputs(made)["model"].name == "pretrain"
    assert stage("sft").inputs(made)["model"].name == "merge"


def test_fewer_samples_are_a_part_of_more_and_the_same_for_every_policy(prepared, tmp_path):
    found = {}
    for policy, most in (("random", 10), ("popularity", 10), ("random", 30)):
        job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=3)
        stage(policy, samples={"uni9": most}).run(job)
        found[policy, most] = pl.read_parquet(tmp_path / "uni9.parquet")["sample_id"].to_list()
    assert found["random", 10] == found["popularity", 10]
    assert len(found["random", 10]) == 10 and len(found["random", 30]) == 30
    assert set(found["random", 10]) < set(found["random", 30])


def test_the_label_names_the_policy():
    assert stage("random").label == "rank random" and Rank.name == "rank"


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def parrot(prepared, tmp_path_factory):
    """A model that writes one item a line, always the same one: each token calls for the next.

    Returns the job of a ranking by it, but for its folder, and the item.
    """
    import torch
    from transformers import Qwen3ForCausalLM

    from mllmrec.training.pretrain import build_tokenizer, save, shape

    made = config("backbone.item_tokens=true", "backbone.layers=1", "backbone.hidden_size=64")
    groups = {name: made.groups[name] for name in ("backbone", "prompt", "words")}
    data = Prepared(prepared.folder)
    tokenizer = build_tokenizer(made.backbone, data, made.prompt, groups["words"])
    settings = shape(made.backbone, tokenizer)
    settings.tie_word_embeddings = False
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(settings)
    item = data.samples("test")["target"].mode().min()
    start = made.prompt.encode(tokenizer, "")[-1]
    calls = [start, *ids_of(tokenizer, f"[ITEM_{item}]\n[ITEM_{item}]")]
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        states = model.model.norm(model.model.embed_tokens.weight)
        model.lm_head.weight.zero_()
        for token, following in {*pairwise(calls)}:
            model.lm_head.weight[following] += states[token]
    folder = tmp_path_factory.mktemp("parrot")
    save(model, tokenizer, folder)
    return {"inputs": {"prepare": prepared.folder, "model": folder}, "groups": groups}, item


def lists(parrot, tmp_path, items=3, max_new_tokens=7):
    """The table of a rank by the parrot: four lines in seven tokens."""
    made = config("evaluate.mode=generate", "prepare.protocols=[uni9]")
    asked = made.goal.generate.model_copy(update={"items": items, "max_new_tokens": max_new_tokens})
    rank = made.goal.inputs(made)["sft"].model_copy(update={"generate": asked})
    rank.run(Job(out=tmp_path, seed=0, **parrot[0]))
    return pl.read_parquet(tmp_path / "uni9.parquet")


def test_what_a_model_writes_is_its_ranking(prepared, parrot, tmp_path):
    table, item = lists(parrot, tmp_path), parrot[1]
    samples = Prepared(prepared.folder).samples("test")
    assert table["sample_id"].to_list() == samples["sample_id"].to_list()
    assert set(table["policy"]) == {"sft"} and set(table["protocol"]) == {"uni9"}
    assert set(table["text"]) == {"\n".join([f"[ITEM_{item}]"] * 4)}
    assert set(table["candidates"]) == {10} and set(table["lines"]) == {4}
    rows = zip(table.iter_rows(named=True), samples.iter_rows(named=True), strict=True)
    seen = set()
    for row, sample in rows:
        assert row["ranked"] == [item] * 4
        assert (row["invalid"], row["repeated"]) == (0, 3)
        assert row["outside"] == (0 if item in sample["uni9"] else 4)
        assert row["rank"] == (1 if sample["target"] == item else 0)
        seen.add((row["rank"], row["outside"]))
    assert len(seen) == 3  # named, a wrong candidate, no candidate


def test_the_question_is_the_prompt_with_one_more_line(parrot, tmp_path, monkeypatch):
    from mllmrec.backbone.loading import load_tokenizer
    from mllmrec.policy import model

    asked = []
    written = model.greedy
    monkeypatch.setattr(
        model, "greedy", lambda *args, **more: asked.extend(args[1]) or written(*args, **more)
    )
    lists(parrot, tmp_path, items=5)
    text = load_tokenizer(parrot[0]["inputs"]["model"]).decode(asked[0])
    line = parrot[0]["groups"]["prompt"].asking("", 5, {"noun": "", "nouns": "", "verb": ""})
    assert " 5 " in line and f"{line}<|im_end|>" in text
    assert "</think>" in text[text.index(line) :]  # and then the answer begins


def test_a_list_that_has_no_room_is_refused(parrot, tmp_path):
    with pytest.raises(Refusal, match="the model takes 4096"):
        lists(parrot, tmp_path, max_new_tokens=4096)


def test_with_random_weights_it_writes_what_transformers_generates(prepared, parrot, tmp_path):
    """All of the way there and back: prompt, tokens, text."""
    import torch
    from transformers import AutoModelForCausalLM

    from mllmrec.backbone.loading import load_tokenizer
    from mllmrec.rendering import render_all

    job, _ = parrot
    tokenizer = load_tokenizer(job["inputs"]["model"])
    torch.manual_seed(1)
    settings = AutoModelForCausalLM.from_pretrained(job["inputs"]["model"]).config
    model = AutoModelForCausalLM.from_config(settings).eval()
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "other")
    inputs = {**job["inputs"], "model": tmp_path / "other"}
    (tmp_path / "out").mkdir()
    table = lists(({**job, "inputs": inputs}, None), tmp_path / "out", max_new_tokens=12)
    data, mouth, words = Prepared(prepared.folder), job["groups"]["prompt"], job["groups"]["words"]
    texts = render_all(data.samples("test").head(4), "uni9", data, mouth, words)
    asked = [mouth.asking(text, 3, words.model_dump()) for text in texts]
    batch = tokenizer(
        mouth.framed(tokenizer, asked), add_special_tokens=False, padding=True, return_tensors="pt"
    )
    made = model.generate(**batch, max_new_tokens=12, do_sample=False)
    found = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert table["text"].to_list()[:4] == found and len(set(found)) > 1


def test_the_targets_place_in_the_list_is_kept(prepared, tmp_path):
    table = rank(prepared, tmp_path, "popularity")
    samples = Prepared(prepared.folder).samples("test")
    for row, sample in zip(table.iter_rows(named=True), samples.iter_rows(named=True), strict=True):
        assert sample["uni9"][row["position"]] == sample["target"]
    assert len({*table["position"]}) == 10


def test_the_place_is_that_in_the_list_as_a_permutation_shows_it(prepared, tmp_path):
    """A baseline looks at no order: its ranks are what they were, but for ties."""
    plain = rank(prepared, tmp_path, "cooccurrence")
    job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=0)
    stage("cooccurrence", permutation=1).run(job)
    other = pl.read_parquet(tmp_path / "uni9.parquet")
    assert other["position"].to_list() != plain["position"].to_list()
    assert other["scores"].to_list() == plain["scores"].to_list()
    assert (other["ranked"].list.sort() == plain["ranked"].list.sort()).all()


def test_the_whole_catalogue_is_ranked_but_for_the_users_other_items(prepared, tmp_path):
    job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=0)
    stage("popularity", protocols=("uni9", "full"), samples={"full": 20}).run(job)
    drawn, table = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("uni9", "full"))
    assert len(drawn) == 60 and len(table) == 20 and set(table["protocol"]) == {"full"}
    data = Prepared(prepared.folder)
    counts = data.sequences.explode("items")["items"].value_counts()
    count = dict(counts.iter_rows())
    trained = dict(zip(data.sequences["user_id"], data.sequences["items"].to_list(), strict=True))
    last = dict(data.samples("validation").select("user_id", "target").iter_rows())
    for row in table.iter_rows(named=True):
        user = row["sample_id"].rpartition(":")[0]
        own = {*trained[user], last[user]}
        assert row["target"] not in own and not own & {*row["ranked"]}
        others = {*data.items["item_id"]} - own
        assert row["candidates"] == len(others)
        mine = count.get(row["target"], 0)
        better = sum(count.get(item, 0) > mine for item in others)
        equal = sum(count.get(item, 0) == mine for item in others)
        assert better < row["rank"] <= better + equal
    ranks = dict(zip(drawn["sample_id"], drawn["rank"], strict=True))
    assert table["rank"].mean() > sum(ranks[id] for id in table["sample_id"]) / 20


def test_what_asks_a_model_otherwise_is_its_identity_alone():
    """And what is not asked is not in it: an old ranking is the ranking without these knobs."""
    full = config("evaluate.protocols=[uni9,full]", "prepare.protocols=[uni9]")
    for policy, told in (("sft", True), ("backbone_text", True), ("popularity", False)):
        rank = full.goal.inputs(full)[policy]
        assert ("full" in rank.effective(full)["knobs"]) == told
        plain = stage(policy)
        assert not {"full", "permutation"} & {*plain.effective(config())["knobs"]}
        other = plain.model_copy(update={"permutation": 2})
        assert other.effective(config())["knobs"]["permutation"] == 2
        assert other.label == f"rank {policy} order 2"
    exact = full.goal.inputs(full)["sft"].effective(full)["knobs"]["full"]
    assert exact == {"kind": "Way", "method": "exact", "by": "id"}  # a width is a beam's alone
    assert full.goal.inputs(full)["oracle"].protocols == ("uni9",)
