"""Steps of a composed trainer on a tiny model, and the model that they began with."""

import copy

import torch
from datasets import Dataset
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback
from trl import GRPOConfig

from mllmrec.schema import validate
from mllmrec.training.known import Known

G, SEED = 3, 5
ADAPTER = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
SETTINGS = {
    "num_generations": G,
    "steps_per_generation": 1,
    "learning_rate": 0.05,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
    "shuffle_dataset": False,
    "max_grad_norm": 1e9,
    "save_strategy": "no",
    "logging_steps": 1,
    "seed": SEED,
    "beta": 0.0,
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "disable_dropout": True,
    "disable_tqdm": True,
    "report_to": [],
}


def config_of(root, *overrides):
    """The config of the stage grpo on a tiny backbone, validated."""
    small = ["stage=grpo", "backbone.layers=2", "backbone.hidden_size=32"]
    with initialize_config_dir(version_base="1.3", config_dir=str(root / "conf")):
        tree = compose("config", overrides=[*small, *overrides])
    return validate(OmegaConf.to_container(tree, resolve=True))


class Keep(TrainerCallback):
    """The gradient of every step."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])


def rows_of(tokenizer, asked, candidates):
    """A sample for each text with its target; items are their own texts."""
    settings = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": True}
    chats = [[{"role": "user", "content": text}] for text in asked]
    return [
        {
            "sample_id": str(n),
            "prompt": chat,
            "prompt_ids": tokenizer.apply_chat_template(chat, **settings)["input_ids"],
            "candidates": candidates,
            "target": target,
        }
        for n, (chat, target) in enumerate(zip(chats, asked.values(), strict=True))
    ]


def training(kind, model, tokenizer, rows, algorithm, items, folder):
    """What trains some steps, all rows in each, and gives: the model before, the answers' tokens,
    gradients by step, batches, and the trainer.
    """
    answers = {item: [*tokenizer(item)["input_ids"], tokenizer.eos_token_id] for item in items}

    def run(budget=9999, steps=1, **more):
        settings = {
            **SETTINGS,
            "output_dir": str(folder / "out"),
            "per_device_train_batch_size": len(rows) * G,
            "max_completion_length": sum(map(len, answers.values())),
            "max_steps": steps,
        }
        torch.manual_seed(1)
        made = kind(
            model=copy.deepcopy(model),
            args=GRPOConfig(**settings | more),
            train_dataset=Dataset.from_list(rows).remove_columns("prompt_ids"),
            reward_funcs=lambda completions, **_: [1.0] * len(completions),
            processing_class=tokenizer,
            peft_config=ADAPTER,
        )
        known = Known(answers, model.get_input_embeddings().weight)
        made.compose(algorithm, known, lambda text, _: text, budget)
        made.prompts = {row["sample_id"]: row["prompt_ids"] for row in rows}
        made.add_callback(keep := Keep())
        # a copy of the trainer's own would go forward through the adapter that is trained
        before = get_peft_model(copy.deepcopy(model), ADAPTER)
        before.load_state_dict(made.model.state_dict())
        batches, begun = [], made.begun

        def seen(inputs):
            found = begun(inputs)
            batches.append(found.batch)
            return found

        made.begun = seen
        made.train()
        return before, answers, keep.gradients, batches, made

    return run
