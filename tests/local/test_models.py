"""Models on this machine: what they are shown, when they end, and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from mllmrec.asking import Request
from mllmrec.errors import Refusal
from mllmrec.local.models import ImageOnlyQwen3VL, load
from tests.local.tiny import local, write_qwen3_vl

WORDS = ["hello there", "hi", "and many more words than the others have", "good day"]


def plain(*texts):
    return [Request(id=text, text=text) for text in texts]


def texts_of(answers):
    return [(answer.text, answer.tokens_out) for answer in answers]


@pytest.fixture(scope="module")
def text(text_model):
    return load(local(text_model), needs_eyes=False)


@pytest.fixture(scope="module")
def seeing(seeing_model):
    return load(local(seeing_model), needs_eyes=True)


def shown(pictures):
    """Requests with one, two, one and no pictures."""
    chosen = [pictures[:1], pictures[1:], pictures[2:], []]
    return [
        Request(id=str(number), text=text, pictures=tuple(paths))
        for number, (text, paths) in enumerate(zip(WORDS, chosen, strict=True))
    ]


def test_company_in_the_batch_changes_nothing(text):
    together = text.answers(plain(*WORDS), 16)
    alone = [text.answers([request], 16)[0] for request in plain(*WORDS)]
    assert together == alone
    assert len(set(texts_of(together))) > 1


def test_company_changes_nothing_for_models_that_see(seeing, pictures):
    requests = shown(pictures)
    together = seeing.answers(requests, 16)
    assert together == [seeing.answers([request], 16)[0] for request in requests]


def test_what_is_written_hangs_on_the_picture(seeing, pictures):
    of_each = [Request(id="1", text="hi", pictures=(path,)) for path in pictures]
    assert len({answer.text for answer in seeing.answers(of_each, 16)}) > 1


def test_a_picture_takes_fewer_tokens_where_it_is_shown_smaller(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("qwen")
    write_qwen3_vl(folder)
    wide = [Request(id="1", text="hi", pictures=(pictures[2],))]  # 128 by 64 pixels
    taken = [
        load(local(folder, picture_size=size), needs_eyes=True).answers(wide, 2)[0].tokens_in
        for size in (128, 64)
    ]
    assert taken[0] - taken[1] == 4 * 2 - 2 * 1  # patches of 32 by 32 pixels


def test_qwen3_vl_needs_no_torchvision(seeing, seeing_model):
    kind = json.loads((seeing_model / "config.json").read_text())["model_type"]
    assert (kind == "qwen3_vl") == isinstance(seeing.processor, ImageOnlyQwen3VL)


def test_thinking_is_switched_off_and_the_text_stands_in_the_users_turn(text):
    inputs = text.inputs([[{"role": "user", "content": "hi"}], [{"role": "user", "content": "h"}]])
    long, short = (text.tokenizer.decode(row) for row in inputs["input_ids"])
    said = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert long == said
    assert short == "<|endoftext|>" + said.replace("user\nhi", "user\nh")


def test_an_answer_ends_where_the_models_authors_say(text, text_model, tmp_path):
    """The fourth token of an answer is made one that ends."""
    request = plain("hello there")
    row = text.model.generate(
        **text.inputs([[{"role": "user", "content": "hello there"}]]), max_new_tokens=8
    )[0].tolist()[-8:]
    at = next(i for i, token in enumerate(row) if i and token not in row[:i])
    folder = shutil.copytree(text_model, tmp_path / "ends")
    said = {"eos_token_id": [row[at]], "do_sample": True, "repetition_penalty": 5.0}
    (folder / "generation_config.json").write_text(json.dumps(said))
    model = load(local(folder), needs_eyes=False)
    assert model.ends == {row[at], text.tokenizer.eos_token_id}
    (answer,) = model.answers(request, 8)
    assert (answer.is_cut, answer.tokens_out) == (False, at + 1)
    assert answer.text == text.tokenizer.decode(row[:at], skip_special_tokens=True).strip()
    assert text.answers(request, 8)[0].is_cut


def by_hand(model, ids, room):
    """The most probable token each time, without a cache."""
    for _ in range(room):
        ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    return ids[0, -room:].tolist()


@torch.inference_mode()
def test_settings_of_the_models_authors_change_nothing_but_the_end(text_model, tmp_path):
    folder = shutil.copytree(text_model, tmp_path / "sampled")
    said = {"do_sample": True, "temperature": 3.0, "top_k": 5, "repetition_penalty": 9.0}
    (folder / "generation_config.json").write_text(json.dumps({**said, "eos_token_id": 7}))
    model = load(local(folder), needs_eyes=False)
    assert 7 in model.ends
    for words in WORDS:
        inputs = model.inputs([[{"role": "user", "content": words}]])
        row = by_hand(model.model, inputs["input_ids"], 16)
        end = row.index(7) if 7 in row else None
        (answer,) = model.answers(plain(words), 16)
        assert answer.text == model.tokenizer.decode(row[:end], skip_special_tokens=True).strip()


def test_a_picture_that_cannot_be_read_fails_its_own_request_alone(seeing, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    requests = shown(pictures)
    bad = Request(id="bad", text="hi", pictures=(pictures[0], broken))
    answers = seeing.answers([requests[0], bad, requests[1]], 8)
    assert "broken.png" in answers[1].why and not answers[1].text
    assert [answers[0], answers[2]] == seeing.answers(requests[:2], 8)


def test_a_prompt_without_room_fails_by_its_number_of_tokens(text):
    """The model takes 2048 tokens; 25 are the template's."""
    answers = text.answers(plain("hi", "x" * 2015), 9)
    assert answers[0].why is None
    assert answers[1].why == (
        "2040 tokens and 9 for the answer are more than the 2048 that the model takes"
    )
    assert text.answers(plain("x" * 2015), 8)[0].why is None


def test_a_model_that_sees_nothing_is_shown_nothing(text_model):
    with pytest.raises(Refusal, match="sees no pictures") as refusal:
        load(local(text_model).at("reasoner.model"), needs_eyes=True)
    assert refusal.value.do == "type reasoner.model.path=DIR with one"


def test_pickled_weights_are_refused(text_model, tmp_path):
    folder = shutil.copytree(text_model, tmp_path / "pickled")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(Refusal, match="its model cannot be loaded") as refusal:
        load(local(folder).at("refiner.model"), needs_eyes=False)
    assert "safetensors" in refusal.value.allowed
    assert "type refiner.model.path=DIR" in refusal.value.do


def test_code_beside_the_weights_is_not_run(text_model, tmp_path):
    folder = shutil.copytree(text_model, tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="own", auto_map={"AutoConfig": "own.Own"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(Refusal, match=r"config\.json cannot be loaded"):
        load(local(folder), needs_eyes=False)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_is_not_whole_is_refused(text_model, tmp_path, missing):
    folder = shutil.copytree(text_model, tmp_path / "part")
    (folder / missing).unlink()
    if missing == "tokenizer.json":
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(Refusal) as refusal:
        load(local(folder), needs_eyes=False)
    assert str(folder) in refusal.value.wrong and "type local.path=DIR" in refusal.value.do


def test_a_folder_that_is_not_there_is_refused_by_the_knob_that_named_it(tmp_path):
    with pytest.raises(Refusal, match="no such folder") as refusal:
        load(local(tmp_path / "none").at("reasoner.model"), needs_eyes=False)
    assert refusal.value.wrong.startswith("reasoner.model.path=")
    assert refusal.value.do == "type reasoner.model.path=DIR"
