"""The methods that are GRPO with other knobs: what each composition is made of."""

import pytest

from tests.launching import config

PLAIN = {
    "policy": {
        "level": "token",
        "epsilon": 0.2,
        "epsilon_high": 0.2,
        "delta": None,
        "averaging": "token",
    },
    "advantage": {"center": "group", "scale": "group", "epsilon": 1e-4},
    "kl": {"estimator": "k3", "bias_correction": False},
    "rollout": {"constraint": None, "temperature": 1.0},
}
OTHERS = {
    "grpo": {},
    "dr_grpo": {"policy": {"averaging": "constant"}, "advantage": {"scale": "none"}},
    "dapo": {"policy": {"epsilon_high": 0.28}},
    "gspo": {
        "policy": {
            "level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
            "averaging": "sequence",
        }
    },
    "rloo": {
        "policy": {"averaging": "constant"},
        "advantage": {"center": "leave_one_out", "scale": "none"},
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_it_is_made_of(name):
    found = config(f"algorithm={name}").algorithm
    for kind, plain in PLAIN.items():
        expected = {**plain, **OTHERS[name].get(kind, {})}
        assert getattr(found, kind).model_dump() == expected, kind
    assert found.rollout.name == "enumerate"
    assert [*found.group] == (["dynamic"] if name == "dapo" else [])
    assert not (found.group_reward or found.shaping or found.rebatch or found.auxiliary)


def test_cispo_has_another_loss_alone():
    found, plain = (config(f"algorithm={name}").algorithm for name in ("cispo", "grpo"))
    assert found.policy.model_dump() == {"epsilon_high": 5.0}
    assert found.model_copy(update={"policy": plain.policy}) == plain


def test_a_part_is_swapped_by_one_word():
    assert config("algorithm/policy=cispo").algorithm == config("algorithm=cispo").algorithm


def test_the_published_loss_is_what_trl_is_told():
    args = config().algorithm.trainer_args(vllm=True)
    assert args["loss_type"] == "dapo" and args["scale_rewards"] == "group"
    assert args["epsilon"] == args["epsilon_high"] == 0.2
    assert args["use_bias_correction_kl"] is False


def test_dr_grpo_divides_by_a_constant_alone():
    args = config("algorithm=dr_grpo").algorithm.trainer_args(vllm=True)
    assert args["loss_type"] == "dr_grpo" and args["scale_rewards"] == "none"


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "gspo", "cispo"])
@pytest.mark.parametrize("vllm", [True, False])
def test_trl_takes_every_argument(name, vllm, tmp_path):
    from trl import GRPOConfig

    args = config(f"algorithm={name}").algorithm.trainer_args(vllm=vllm)
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **args)
    assert {key: getattr(made, key) for key in args} == args
