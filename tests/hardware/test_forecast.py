"""What is said of memory and time before the start, and what is refused."""

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.hardware.forecast import foretold, threads_of
from tests.hardware.driver import pretend
from tests.launching import CONF, config, launch, steps

QWEN = ("backbone=qwen3_4b", "cot_prob=0", "prompt.captions=false")
PRESETS = sorted(path.stem for path in (CONF / "hardware").glob("*.yaml"))


def sentences(store, *words):
    planned = foretold(steps(store, *words), config(*words), store)
    return {step.label: step.forecast for step in planned if step.forecast}


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


@pytest.fixture
def driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(count, *more):
        monkeypatch.setenv("PATH", f"{pretend(tmp_path / 'bin', count, *more)}:/usr/bin:/bin")

    return install


def test_each_stage_that_trains_is_told(store):
    told = sentences(store, "stage=evaluate")
    assert list(told) == ["pretrain", "sft", "sft_continued", "grpo"]
    assert "60 steps" in told["grpo"] and "GiB" in told["grpo"]
    assert sentences(store, "stage=prepare") == {}


@pytest.mark.parametrize(
    "preset",
    [pytest.param(name, marks=[] if name == "gpu_24" else pytest.mark.slow) for name in PRESETS],
)
def test_a_preset_fits_its_gpu_with_four_billion_parameters(preset, store):
    """The shipped recipe and the published one, in both stages; nothing is far too small either."""
    words = (f"hardware={preset}", "stage=grpo", "plan_only=true", *QWEN)
    told = sentences(store, *words)
    assert set(told) == {"sft", "grpo"}
    assert not any("does NOT fit" in line for line in told.values()), told
    assert all("on a GPU that is not here" in line for line in told.values())
    size = config(*words).top.gpu_memory
    assert preset == {24: "gpu_24", 40: "gpu_40", 79: "gpu_80", 139: "gpu_141"}[size]


def test_a_preset_has_the_last_word_after_an_experiment():
    """And sets nodes that a goal does not stand on, as an experiment may."""
    made = config("hardware=gpu_80", "stage=grpo", "experiment=published").stages["grpo"]
    assert (made.tokens_per_batch, made.learning_rate) == (8192, 1e-5), "2048 is the experiment's"
    dropped = config("hardware=gpu_80", "stage=prepare").dropped
    assert dropped == ("evaluate", "grpo", "sft")


def test_what_does_not_fit_is_said_with_the_knob_to_lower(store):
    words = (*QWEN, "stage=sft", "plan_only=true", "gpu_memory=24", "sft.tokens_per_batch=16384")
    told = sentences(store, *words, "sft.batch_size=256")["sft"]
    assert "which does NOT fit" in told
    fitting = told.rpartition("type ")[2]
    knob, _, tokens = fitting.partition("=")
    assert knob == "sft.tokens_per_batch"
    mended = (*words[:-1], fitting, "sft.batch_size=256")
    assert "does NOT fit" not in sentences(store, *mended)["sft"]
    more = (*words[:-1], f"sft.tokens_per_batch={int(tokens) + 512}", "sft.batch_size=256")
    assert "does NOT fit" in sentences(store, *more)["sft"]
    tight = (*QWEN, "stage=sft", "plan_only=true", "gpu_memory=10", "sft.batch_size=256")
    assert "type sft.gradient_checkpointing=true" in sentences(store, *tight)["sft"]


def test_a_model_that_cannot_fit_the_gpu_is_refused(store, driver):
    driver(1, "NVIDIA T4", 8192)
    words = (*QWEN, "stage=sft")
    with pytest.raises(Refusal, match=r"sft: the weights .* NVIDIA T4 has 8.0 GiB · .*backbone="):
        foretold(steps(store, *words), config(*words), store)
    driver(1)
    assert "of 79.6 GiB on NVIDIA H100" in sentences(store, *words)["sft"]


def test_processes_share_the_rows_and_where_asked_the_weights(store):
    words = (*QWEN, "stage=sft", "plan_only=true", "hardware=gpu_80", "sft.batch_size=8")
    alone, ddp, fsdp = (
        sentences(store, *words, *more)["sft"]
        for more in (
            (),
            ("parallel=ddp", "parallel.processes=4"),
            ("parallel=fsdp", "parallel.processes=4"),
        )
    )
    assert "weights 7.5 GiB" in alone and "weights 7.5 GiB" in ddp and "weights 1.9 GiB" in fsdp

    def tokens(told):
        return int(told.split(" tokens in memory")[0].rpartition(" ")[2])

    assert tokens(alone) == pytest.approx(4 * tokens(ddp), rel=0.01)


def test_no_more_cores_are_counted_than_there_are_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_of(config()) is None
    assert threads_of(config("threads=2")) == 2
    two = ("parallel=ddp", "parallel.processes=2")
    assert threads_of(config(*two, "threads=2")) == 4 and threads_of(config(*two)) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(config()) == 3 and threads_of(config(*two)) is None
    assert threads_of(config("threads=2")) == 2


def test_one_thread_takes_as_long_as_one_core(store, monkeypatch):
    monkeypatch.setattr("mllmrec.hardware.machine.cores", lambda: 4)
    told = sentences(store, "stage=pretrain", "threads=1")["pretrain"]
    assert "on 1 CPU core " in told and "0.012 TFLOP/s" in told


def test_a_model_that_nothing_tells_of(store):
    words = ("stage=sft", "backbone=qwen3_4b", "backbone.path=some/other", "cot_prob=0")
    told = sentences(store, *words, "prompt.captions=false")
    assert told == {"sft": "memory and time unknown: no config.json of the model here"}


@pytest.mark.slow
def test_the_plan_tells_it_and_the_run_says_it_before_each_stage(tmp_path):
    words = ("experiment=debug", "stage=sft", "prompt.captions=false", "tracking=off", "cot_prob=0")
    plan = launch(*words, "plan_only=true", cwd=tmp_path, COLUMNS="80")
    assert plan.returncode == 0, plan.stderr
    assert "\npretrain: at most about " in plan.stdout and "\nsft: at most about " in plan.stdout
    assert not (tmp_path / "artifacts").exists()
    enough = (*words, "sft.max_steps=10")  # of fewer steps nothing is told
    done = launch(*enough, cwd=tmp_path)
    lines = done.stdout.splitlines()
    (at,) = [n for n, line in enumerate(lines) if "sft" in line and "at most about" in line]
    assert ": build (" in lines[at - 1] and "done in" in "".join(lines[at + 1 :])
    again = launch(*enough, "sft.learning_rate=0.002", "plan_only=true", cwd=tmp_path)
    assert " took)" in again.stdout, "the first run has told the pace"
