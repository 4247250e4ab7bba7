import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 1.0}, "exactly one of epochs and max_steps"),
        ({"max_steps": None}, "exactly one of epochs and max_steps"),
        ({"micro_batch_size": 3}, "batch_size must be a multiple of micro_batch_size"),
        ({"save_steps": 15}, "save_steps must be a multiple of logging_steps"),
        ({"learning_rate": 0}, "greater than 0"),
    ],
)
def test_relations_are_refused_by_name(config, changed, said):
    sft = config.stages["sft"]
    with pytest.raises(ValidationError, match=said):
        type(sft).model_validate({**sft.model_dump(), **changed})


def test_a_step_of_grpo_holds_whole_groups(config):
    grpo = config.stages["grpo"]
    changed = {"num_generations": 7}
    with pytest.raises(ValidationError, match="multiple of num_generations"):
        type(grpo).model_validate({**grpo.model_dump(), **changed})
