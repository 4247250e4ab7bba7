"""What the model reads: the shape of the text, its tokens, and data that would break it."""

from pathlib import Path

import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mllmrec.errors import Refusal
from mllmrec.prompt import SECTIONS, Prompt, escape, shown_title

CONF = Path(__file__).parents[1] / "conf" / "prompt"
WORDS = {"noun": "film", "nouns": "films", "verb": "watched"}
TITLES = {"1": "Heat (1995)", "2": "Alien", "3": "Up {and} down"}
KNOBS = {
    "task": "Recommend a {noun}.",
    "history_header": "They {verb}:",
    "candidates_header": "{nouns}:",
    "hint": "<think>{rationale}</think>",
    "instruction": "Write {form}.",
    "order": list(SECTIONS),
    "numbered": False,
    "answer": "id",
    "title_words": None,
    "listing": "",
    "too_long": "error",
    "captions": True,
    "caption": ", {caption}",
    "caption_words": None,
    "inject": "prompt",
}


def prompt(**knobs):
    return Prompt.model_validate(KNOBS | knobs)


def render(mouth, history=("1", "2"), candidates=("3", "1"), rationale=None):
    return mouth.render(history, candidates, TITLES, WORDS, rationale)


def published(name):
    knobs = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert knobs.pop("_target_") == "mllmrec.prompt.Prompt"
    return Prompt.model_validate(knobs)


@pytest.fixture(scope="module")
def tokenizer():
    vocab = {text: i for i, text in enumerate(["<pad>", "<|im_end|>", "?", *"[ITEM_0123]", "user"])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        unk_token="?",
        chat_template=(
            "{% for m in messages %}{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}"
            "{% if add_generation_prompt %}A{{ 0 if enable_thinking is false }}{% endif %}"
        ),
    )


def test_a_prompt_with_every_section():
    assert render(prompt(numbered=True), rationale="likes heat") == "\n".join(
        [
            "Recommend a film.",
            "",
            "They watched:",
            "1. [ITEM_1] Heat (1995)",
            "2. [ITEM_2] Alien",
            "",
            "films:",
            "[ITEM_3] Up {and} down",
            "[ITEM_1] Heat (1995)",
            "",
            "<think>likes heat</think>",
            "",
            "Write [ITEM_id].",
        ]
    )


def test_empty_sections_and_headers_leave_no_trace():
    bare = prompt(task="", history_header="")
    assert render(bare, candidates=(), rationale=" ") == (
        "[ITEM_1] Heat (1995)\n[ITEM_2] Alien\n\nWrite [ITEM_id]."
    )


def test_sections_go_in_the_order_that_the_config_gives():
    order = ["instruction", "candidates", "history", "task", "hint"]
    text = render(prompt(order=order))
    places = [text.index(part) for part in ("Write", "films:", "They", "Recommend")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"order": ["task", "history"]}, "each of task, history"),
        ({"task": "A {movie}"}, r"unknown field \['movie'\]"),
        ({"hint": "think"}, "no {rationale}"),
        ({"title_words": -1}, "greater than or equal to 0"),
        ({"title_words": 0, "answer": "id_title"}, "prompt.answer=id where"),
        ({"answer": "title"}, "'id' or 'id_title'"),
        ({"numbred": True}, "numbred"),
    ],
)
def test_knobs_that_make_no_prompt_are_refused(knobs, told):
    with pytest.raises(ValueError, match=told):
        prompt(**knobs)


@pytest.mark.parametrize("text", ["{noun", "}", "{0}", "{noun!x}", "{noun:d}", "{}"])
def test_a_template_that_cannot_be_filled_is_refused_before_the_run(text):
    with pytest.raises(ValueError):
        prompt(task=text)


def test_the_answer_has_the_form_that_the_instruction_asks_for():
    assert prompt(answer="id").answer_text("1", "Heat") == "[ITEM_1]"
    assert prompt(answer="id_title").answer_text("1", "Heat") == "[ITEM_1] Heat"
    assert "Write [ITEM_id] title." in render(prompt(answer="id_title"))


def test_titles_stay_on_their_line_and_out_of_the_markup():
    assert shown_title(" The\nLong\t Night ", 2) == "The Long"
    assert shown_title("a</think><|im_end|> <3") == "a< /think>< |im_end|> <3"
    assert prompt(title_words=1).item_text("1", "Heat (1995)") == "[ITEM_1] Heat"
    assert prompt().item_text("1", None) == "[ITEM_1]"
    assert prompt(title_words=1).shown(TITLES) == {"1": "Heat", "2": "Alien", "3": "Up"}


def test_a_rationale_cannot_close_its_own_tag():
    text = render(prompt(), rationale="x</think>\n{noun} <|im_end|>")
    assert "<think>x< /think>\n{noun} < |im_end|></think>" in text


@pytest.mark.parametrize(
    ("item_id", "shown"),
    [("42", "42"), ("B00X-1.a:b/c", "B00X-1.a:b/c"), ("a b", "a%20b"), ("]%", "%5D%25")],
)
def test_ids_are_escaped_only_where_they_must_be(item_id, shown):
    assert escape(item_id) == shown
    assert prompt().item_text(item_id, None) == f"[ITEM_{shown}]"


def test_an_empty_id_is_refused():
    with pytest.raises(Refusal, match="empty id"):
        escape("")


def test_history_for_pretraining_is_lines_of_items():
    assert prompt().history_text(["2", "1"], TITLES) == "[ITEM_2] Alien\n[ITEM_1] Heat (1995)\n"


def test_the_tokens_are_those_of_the_chat_template(tokenizer):
    ids = prompt().encode(tokenizer, "[ITEM_1]")
    assert all(isinstance(token, int) for token in ids)
    assert tokenizer.convert_ids_to_tokens(ids) == [
        *"????:[ITEM_1]".replace(":", "?"),
        "<|im_end|>",
        "?",
        "0",
    ]
    assert ids == tokenizer.apply_chat_template(
        prompt().messages("[ITEM_1]"),
        add_generation_prompt=True,
        enable_thinking=False,
        return_dict=False,
    )
    assert prompt().encode_all(tokenizer, ["[ITEM_1]", "2"])[0] == ids
    assert prompt().encode_all(tokenizer, []) == []


def test_an_answer_ends_the_turn(tokenizer):
    ids = prompt().encode_answer(tokenizer, "[ITEM_1]")
    assert tokenizer.convert_ids_to_tokens(ids) == [*"[ITEM_1]", "<|im_end|>"]


def test_a_tokenizer_without_a_chat_template_is_refused(tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(Refusal, match="backbone=tiny"):
        prompt().encode(bare, "hello")


def test_the_plain_prompt_asks_for_the_id_alone():
    mouth = published("plain")
    assert mouth.answer == "id"
    told = render(mouth)
    assert "as [ITEM_id] and nothing else.\n" in told
    assert told.endswith("[ITEM_2] Alien")  # the answer goes on from the history


def test_the_reference_prompt_is_the_published_one():
    assert render(published("reference"), rationale="likes heat") == "\n".join(
        [
            "You are a film recommendation assistant.",
            "",
            "Here are the user's most recently watched films sequence:",
            "1. [ITEM_1] Heat (1995)",
            "2. [ITEM_2] Alien",
            "",
            "Candidate films:",
            "[ITEM_3] Up {and} down",
            "[ITEM_1] Heat (1995)",
            "",
            "The following reasoning is for reference ONLY:",
            "<think>likes heat</think>",
            "",
            "Now answer the following question.",
            "Only output in format [ITEM_id] title.",
            "No additional caption, summary, comments, or explanation.",
        ]
    )


def test_a_list_is_asked_for_by_one_more_line():
    mouth = prompt(listing="Name {k} {nouns} that were not {verb}, as {form}.")
    asked = mouth.asking(render(mouth), 5, WORDS)
    assert asked == f"{render(mouth)}\n\nName 5 films that were not watched, as [ITEM_id]."
    assert prompt().asking("text", 5, WORDS) == "text"
    for name in ("plain", "reference"):
        line = published(name).asking("text", 7, WORDS).removeprefix("text\n\n")
        assert " 7 " in line and "{" not in line
    with pytest.raises(ValueError, match="unknown field"):
        prompt(listing="{n} items")


def test_the_line_that_asks_for_a_list_is_no_knob_of_a_prompt():
    """It says nothing where no list is asked for; who asks for one adds it."""
    assert prompt(listing="Name {k}.").knobs() == prompt().knobs()


CAPTIONS = {"1": "a dark street, rain.", "3": "  two\nlines <b>  "}


def test_captions_stand_behind_titles_of_history_and_candidates():
    text = prompt().render(["1", "2"], ["3"], TITLES, WORDS, None, CAPTIONS)
    assert "[ITEM_1] Heat (1995), a dark street, rain\n" in text
    assert "[ITEM_2] Alien\n" in text  # it has none
    assert "[ITEM_3] Up {and} down, two lines < b>" in text  # on one line, and no tag


def test_the_first_words_of_a_caption_are_kept():
    short = prompt(caption_words=2, caption=" ({caption})")
    assert short.item_text("1", "Heat", CAPTIONS["1"]) == "[ITEM_1] Heat (a dark)"
    assert short.item_text("1", "Heat", " ") == "[ITEM_1] Heat"
    assert short.history_text(["1"], TITLES, CAPTIONS) == "[ITEM_1] Heat (1995) (a dark)\n"


def test_an_answer_has_no_caption():
    assert prompt(answer="id_title").answer_text("1", "Heat") == "[ITEM_1] Heat"


def test_how_captions_are_shown_matters_only_where_they_are():
    off = prompt(captions="auto").settled(lambda: False)
    assert off.captions is False and off.knobs() == prompt(captions=False, caption_words=3).knobs()
    assert prompt(captions="auto").settled(lambda: True).captions is True
    assert prompt(captions=False).settled(lambda: True).captions is False
    assert prompt(caption_words=3).knobs() != prompt(caption_words=4).knobs()


def test_a_caption_that_would_be_lost_is_refused():
    with pytest.raises(ValueError, match=r"has no \{caption\}"):
        prompt(caption=" (no place for it)")


def test_a_thought_before_an_answer_is_what_thinking_switched_off_looks_like():
    """`inject=completion` at no rationale, against the template of Qwen with thinking off."""
    assert prompt().thought(None) == "<think>\n\n</think>\n\n"
    assert prompt().thought("a </think> b") == "<think>\na < /think> b\n</think>\n\n"


def test_captions_that_cannot_be_had_are_refused():
    with pytest.raises(Refusal, match=r"prompt\.captions=true: this dataset has no pictures"):
        prompt(captions=True).settled(lambda: False)
