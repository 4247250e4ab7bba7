import pytest

from mllmrec.errors import Refusal
from tests.launching import config


def test_the_published_loss_is_what_trl_is_told():
    args = config().algorithm.trainer_args()
    assert args["loss_type"] == "dapo" and args["scale_rewards"] == "group"
    assert args["epsilon"] == args["epsilon_high"] == 0.2
    assert args["use_bias_correction_kl"] is False


def test_dr_grpo_divides_by_a_constant_alone():
    args = config("algorithm=dr_grpo").algorithm.trainer_args()
    assert args["loss_type"] == "dr_grpo" and args["scale_rewards"] == "none"


def test_trl_takes_every_argument(tmp_path):
    from trl import GRPOConfig

    for name in ("grpo", "dr_grpo"):
        args = config(f"algorithm={name}").algorithm.trainer_args()
        made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **args)
        assert {key: getattr(made, key) for key in args} == args


def test_a_nucleus_needs_written_answers():
    with pytest.raises(Refusal, match="need rollout=sample"):
        config("algorithm.top_p=0.9")
    assert config("algorithm.top_p=0.9", "algorithm.rollout=sample").algorithm.top_p == 0.9


def test_a_temperature_needs_written_answers():
    with pytest.raises(Refusal, match="need rollout=sample"):
        config("algorithm.temperature=0.9")
