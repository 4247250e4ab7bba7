"""A sweep's file: what both worlds read alike is taken, everything else refused in our words."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.compose import compose_one, composing
from mllmrec.errors import Refusal
from mllmrec.sweep.grammar import Between, Grammar
from mllmrec.sweep.reading import parse, question_of, read
from mllmrec.sweep.space import grid, words_of
from tests.launching import CONF, ROOT
from tests.sweep.files import END, START, tree, write

SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))
# schema.json of the package `sweeps` 0.3.0 (MIT licence, Weights & Biases), as it is there.
SCHEMA = json.loads((Path(__file__).parent / "wandb_schema.json").read_text(encoding="utf-8"))


def wrong(**more):
    with pytest.raises(Refusal) as refusal:
        parse(tree(**more), "mine.yaml")
    assert refusal.value.wrong.startswith("mine.yaml: ") and refusal.value.allowed
    assert refusal.value.do
    return refusal.value


def test_the_sweeps_that_are_shipped():
    names = {path.stem for path in SHIPPED}
    assert names >= {"cot_prob_x_beta", "beta", "cot_prob", "num_negatives", "reward_mix", "seeds"}
    assert names >= {"algorithms", "algorithms_catalogue"}


def test_the_algorithms_that_are_swept_are_those_that_are_there():
    _, made = read(ROOT / "sweeps" / "algorithms.yaml")
    shipped = {path.stem for path in (CONF / "algorithm").glob("*.yaml")}
    assert {*made.parameters["algorithm"].values} == shipped and made.seed == "grpo.seed"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_is_a_question_and_valid_in_both_worlds(path):
    question, made = read(path)
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"# {question}"
    assert question.endswith("?") and isinstance(made, Grammar)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem == "beta" else pytest.mark.slow)
     for path in SHIPPED],
)  # fmt: skip
def test_the_first_and_last_point_of_a_shipped_file_compose(path, tmp_path):
    _, made = read(path)
    points, own = grid(made), []
    if "experiment=catalogue" in made.words:  # whose files are the user's
        own = [f"dataset.path={tmp_path}"]
        for name in ("ratings.dat", "movies.dat"):
            (tmp_path / name).touch()
    with composing(CONF):
        for values in (points[0], points[-1]):
            config = compose_one([*made.words, *words_of(values), *own], [], "config")
            assert config.top.goal == "evaluate"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"parameters": {"a": {"vals": [1]}}}, "parameters.a.min: field required"),
        ({"early": 1}, "early: unknown key"),
        ({"metric": {"name": "a/b", "gaol": "maximize"}}, "metric.gaol: unknown key"),
        ({"metric": None}, "metric: field required"),
        ({"metric": {"name": "a/b", "impute": "best"}}, "metric.impute: a search here goes by"),
        ({"run_cap": 0}, "run_cap: input should be greater than or equal to 1"),
        ({"method": "custom"}, "method=custom: it wants W&B's scheduler"),
        ({"metrics": []}, "metrics: several aims at once"),
        ({"job": "x"}, "job: it is of W&B Launch"),
        ({"program": "train.py"}, "program=train.py"),
        ({"command": None}, "no command: W&B would write --knob=value"),
        ({"command": [*START, "${args}"]}, "command: ${args}: not known here"),
        ({"command": [*START, "stage=sft"]}, "command does not start launch.py"),
        ({"command": [*START, "--multirun", *END]}, "command: --multirun: no override"),
        ({"parameters": {"stage": {"values": ["sft"]}}}, "parameters.stage: a group"),
        ({"parameters": {"dataset": {"values": ["toy"]}}}, "parameters.dataset: a group"),
        ({"parameters": {"a b": {"value": 1}}}, "parameters.a b: no name of a knob"),
        ({"parameters": {"a": 3}}, "parameters.a=3: no parameter"),
        ({"parameters": {"a": {"parameters": {}}}}, "parameters.a.parameters: nested"),
        ({"parameters": {"a": {"values": [1], "probabilities": [1]}}}, "probabilities"),
        ({"parameters": {"a": {"distribution": "beta"}}}, "distribution=beta: not known here"),
        ({"parameters": {"a": {"values": [None]}}}, "parameters.a: null"),
        ({"parameters": {"a": {"values": [{"x": 1}]}}}, "a mapping"),
        ({"parameters": {"a": {"values": ["1e-5"]}}}, "text to YAML, and a number to Hydra"),
        ({"parameters": {"a": {"values": ["x,y"]}}}, "several values to Hydra"),
        ({"parameters": {"a": {"min": 0.0, "max": 1.0}}}, "a grid of them has no end"),
        ({"parameters": {"a": {"min": 3, "max": 1}}}, "min=3, max=1"),
        ({"parameters": {"a": {"min": 1, "max": 3, "q": 1}}}, "parameters.a.q=1"),
        ({"parameters": {"seed": {"min": 1, "max": 3}}}, "parameters.seed: no list of seeds"),
        ({"parameters": {"seed": {"values": [1.5]}}}, "parameters.seed: no list of seeds"),
        ({"parameters": {"grpo.seed": {"min": 1, "max": 3}}}, "parameters.grpo.seed: no list"),
        ({"parameters": {"seed": {"value": 1}, "grpo.seed": {"value": 1}}}, "seed and grpo.seed"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate: which looks?"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 9}}, "s goes with max_iter"),
        ({"early_terminate": {"type": "median"}}, "early_terminate.type: input should be"),
    ],
)
def test_what_does_not_run_in_both_worlds_is_refused(more, said):
    assert said in wrong(**more).wrong


@pytest.mark.parametrize("name", ["algorithm/policy", "algorithm.policy", "algorithm/shaping"])
def test_a_part_is_swept_by_compositions_of_its_own(name):
    refusal = wrong(parameters={name: {"values": ["clip", "cispo"]}})
    assert f"parameters.{name}: a part" in refusal.wrong
    assert "conf/algorithm/NAME.yaml" in refusal.do and "algorithm: {values:" in refusal.do
    parse(tree(parameters={"algorithm.policy.epsilon": {"values": [0.1]}}), "mine.yaml")


def test_a_refusal_says_what_to_write():
    assert wrong(parameters={"a": {"values": [None]}}).do == 'write "null"'
    assert "stage=CHOICE into command" in wrong(parameters={"stage": {"value": "sft"}}).do
    assert wrong(command=None).do.startswith("write command: [${env}, ${interpreter}")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(Refusal, match=r"sweep\.file=.*nowhere\.yaml"):
        read(tmp_path / "nowhere.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [")
    with pytest.raises(Refusal, match=r"sweep\.file=.*bad\.yaml"):
        read(bad)
    bad.write_text("- a\n")
    with pytest.raises(Refusal, match="no mapping of keys"):
        read(bad)


def test_the_question_is_the_first_comment():
    assert question_of("# Which\n# one?\n# Here: x\na: 1\n") == "Which one?"
    assert question_of("# Beta\n# more\n") == "Beta"
    assert question_of("a: 1\n") == ""


def test_a_file_is_read_whole(tmp_path):
    question, made = read(write(tmp_path / "a.yaml", question="Why?"))
    assert question == "Why?" and made.words == ["stage=prepare", "tracking=online"]
    assert (made.seeds, made.is_search) == ([], False)


def test_whole_ends_make_whole_numbers():
    assert Between(min=1, max=3).shape == "int_uniform"
    assert Between(min=1, max=3.0).shape == "uniform"
    assert Between(min=1, max=3, distribution="log_uniform_values").shape == "log_uniform_values"


scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text("abcdefgh_./-", min_size=1).filter(lambda text: text[0].isalpha()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(scalars, min_size=1, max_size=4))
def test_hydra_reads_what_is_written_of_a_value(values):
    """As W&B's agent writes it, which is Python's own text of the value."""
    made = parse(tree(parameters={"a.b": {"values": values}}), "mine")
    for value, point in zip(values, grid(made), strict=True):
        (word,) = words_of(point)
        read_back = OverridesParser.create().parse_override(word).value()
        assert read_back == value or float(read_back) == float(value)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["program", "command", "method", "metric", "parameters", "job", "name"]),
        st.one_of(st.none(), st.text(max_size=5), st.integers(), st.lists(st.text(max_size=3))),
    )
)
def test_nonsense_is_refused_and_never_a_traceback(more):
    try:
        parse({**tree(), **more}, "mine")
    except Refusal as refusal:
        assert refusal.wrong.startswith("mine: ")
