"""How many processes, on how many machines, and what is refused."""

import pytest

from mllmrec.errors import Refusal
from tests.launching import compose_typed, config, ids

TWO = ("parallel=ddp", "parallel.processes=2")


def test_processes_change_no_identity():
    assert ids(*TWO) == ids()


def test_the_numbers_of_two_machines():
    words = ("parallel.machines=2", "parallel.rank=1", "parallel.address=a", "parallel.port=29501")
    parallel = config(*TWO, *words).parallel
    assert parallel.total() == 4 and parallel.follows
    told = parallel.config(port=0)
    assert (told["num_processes"], told["machine_rank"], told["main_process_port"]) == (4, 1, 29501)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("parallel.machines=2",), "parallel.address=HOST"),
        (("parallel.rank=1",), "rank=1 is not below machines=1"),
        (("parallel.processes=0",), "parallel.processes=0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_begun(words, said):
    with pytest.raises(Refusal) as found:
        config("parallel=ddp", *words)
    assert said in str(found.value)


@pytest.mark.slow
def test_a_knob_that_is_mistyped_is_told():
    with pytest.raises(Refusal, match=r"parallel\.process.* type parallel\.processes=VALUE"):
        compose_typed("parallel=ddp", "parallel.process=2")


@pytest.mark.slow
def test_processes_without_several_are_told_which_choice_has_them():
    with pytest.raises(Refusal, match=r"type parallel=ddp parallel\.processes=2"):
        compose_typed("parallel.processes=2")


def test_a_step_that_cannot_be_shared_out_evenly_is_refused():
    made = config("parallel=ddp", "parallel.processes=3", "sft.batch_size=16")
    with pytest.raises(Refusal) as found:
        made.parallel.ready(made.stages["sft"])
    assert "sft.batch_size=16: not divisible by 3 processes" in found.value.wrong
    assert "sft.batch_size=18" in found.value.do
    made.parallel.ready(made.stages["evaluate"])  # one process does it


def test_vllm_and_several_processes_are_refused():
    words = ("grpo.vllm=true", "algorithm/rollout=sample", "grpo.lora.item_rows=false")
    made = config(*TWO, *words)
    with pytest.raises(Refusal, match=r"grpo\.vllm=true: not with 2 processes"):
        made.parallel.ready(made.stages["grpo"])


def test_a_machine_without_a_gpu_must_be_told_how_many(monkeypatch):
    import torch

    parallel = config("parallel=ddp").parallel
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(Refusal, match=r"parallel\.processes=null"):
        parallel.total()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert parallel.total() == 4
