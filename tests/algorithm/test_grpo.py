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

    for name in ("grpo", "dr_grpo", "exact"):
        args = config(f"algorithm={name}").algorithm.trainer_args()
        made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **args)
        assert {key: getattr(made, key) for key in args} == args


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algorithm.top_p=0.9"], "top_p=0.9: algorithm.rollout=enumerate has no use"),
        (["algorithm.rollout=beam", "algorithm.temperature=0.9"], "temperature=0.9"),
        (["algorithm.rollout=sample", "algorithm.constraint=sequence"], "constraint=sequence"),
        (["algorithm.rollout=exact"], "algorithm.rollout='exact'"),
        (["algorithm.rollout=some"], "algorithm.rollout='some'"),
    ],
)
def test_what_does_not_go_together_is_refused(words, said):
    with pytest.raises(Refusal, match=said):
        config(*words)


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ([], "token"),
        (["algorithm.constraint=sequence", "algorithm.temperature=0.9"], "sequence"),
        (["algorithm.rollout=sample", "algorithm.top_p=0.9"], None),
        (["algorithm.rollout=sample", "algorithm.constraint=token"], "token"),
        (["algorithm.rollout=beam"], "token"),
        (["algorithm=exact"], "token"),
    ],
)
def test_what_holds_answers_to_the_candidates(words, held):
    assert config(*words).algorithm.constrained == held
