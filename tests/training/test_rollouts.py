"""Ours beside TRL's own trainer, and the ways in which groups come about."""

import copy
import itertools

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from scipy.stats import chisquare
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from mllmrec.scoring.decode import sample
from mllmrec.scoring.packed import log_choice, token_logps
from mllmrec.scoring.trie import pack
from mllmrec.training.exact import Exhausting
from mllmrec.training.grpo_trainer import Trainer
from mllmrec.training.known import Known
from mllmrec.training.reference import ReferenceScores
from mllmrec.training.rollouts import Beaming, Enumerating, Sampling
from tests.launching import config
from tests.plain import by_itself, eager

G, PROMPTS = 4, 3
WORDS = ["dark river", "golden storm", "the last", "heart", "river of storms"]


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.fixture
def rows(tokenizer):
    """Prompts of unequal length, each with three candidates of unequal length."""
    texts = [" ".join(WORDS[: 1 + n % 5]) for n in range(9)]
    triples = itertools.cycle(itertools.combinations(WORDS, 3))
    chats = [[{"role": "user", "content": f"{n}: {text}"}] for n, text in enumerate(texts)]
    settings = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": True}
    return [
        {
            "sample_id": str(n),
            "prompt": chat,
            "prompt_ids": tokenizer.apply_chat_template(chat, **settings)["input_ids"],
            "candidates": list(next(triples)),
        }
        for n, chat in enumerate(chats)
    ]


@pytest.fixture
def answers(tokenizer):
    return {word: [*tokenizer(word)["input_ids"], tokenizer.eos_token_id] for word in WORDS}


class Keep(TrainerCallback):
    """The gradient of every step."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        kept = [p.grad.flatten().clone() for p in model.parameters() if p.grad is not None]
        self.gradients.append(torch.cat(kept))


def reward(completions, **_):
    return [len(c[0]["content"]) % 5 / 2 + c[0]["content"].count("r") for c in completions]


WORDS_OF = {  # TRL's options as parts of a composition
    "loss_type": {
        "grpo": ["algorithm.policy.averaging=sequence"],
        "bnpo": ["algorithm.policy.averaging=token"],
        "dr_grpo": ["algorithm.policy.averaging=constant"],
    },
    "scale_rewards": {name: [f"algorithm.advantage.scale={name}"] for name in ("none", "batch")},
    "importance_sampling_level": {"sequence": ["algorithm.policy.level=sequence"]},
    "temperature": {0.7: ["algorithm.rollout.temperature=0.7"]},
}
ROLLOUTS = {Sampling: "sample", Beaming: "beam", Exhausting: "exhaust"}


def composition(kind, options, words=()):
    """The algorithm of these rollouts that TRL's own trainer has under these options."""
    rollout = next((name for one, name in ROLLOUTS.items() if issubclass(kind, one)), "enumerate")
    base = "exact" if rollout == "exhaust" else "grpo"
    told = [
        w
        for name, value in options.items()
        if name in WORDS_OF
        for w in WORDS_OF[name].get(value, [])
    ]
    return config(f"algorithm={base}", f"algorithm/rollout={rollout}", *told, *words).algorithm


def trainer_of(
    kind, model, tokenizer, rows, answers, folder, budget=9999, group=G, words=(), **options
):
    settings = {
        "output_dir": str(folder / kind.__name__),
        "per_device_train_batch_size": PROMPTS * group,
        "num_generations": group,
        "max_completion_length": max(map(len, answers.values())),
        "learning_rate": 0.05,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "shuffle_dataset": False,
        "max_steps": 3,
        "max_grad_norm": 1e9,
        "logging_steps": 1,
        "save_strategy": "no",
        "seed": 5,
        "beta": 0.1,
        "top_k": 0,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "use_bias_correction_kl": False,
        "disable_dropout": True,
        "disable_tqdm": True,
        "report_to": [],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    made = kind(
        model=copy.deepcopy(model),
        args=GRPOConfig(**settings | options),
        train_dataset=Dataset.from_list(rows).remove_columns("prompt_ids"),
        reward_funcs=reward,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    made.answers, made.tokens_per_batch = answers, budget
    if not issubclass(kind, Stock):
        known = Known(answers, model.get_input_embeddings().weight)
        made.compose(composition(kind, options, words), known, hear, budget)
    made.prompts = {row["sample_id"]: row["prompt_ids"] for row in rows}
    made.add_callback(keep := Keep())
    return made, keep


def hear(text, candidates):
    return text if text in candidates else None


class Stock(GRPOTrainer):
    """TRL's own, whose draws are told to it."""

    groups = None

    def _generate_single_turn(self, prompt_ids, *_, **__):
        return [self.groups[tuple(ids)][n % G] for n, ids in enumerate(prompt_ids)], None


def fixed(rows, answers):
    """A group for each prompt, the same whoever asks; candidates repeat in it."""
    return {
        tuple(row["prompt_ids"]): [
            list(answers[row["candidates"][(n * n + len(row["prompt_ids"])) % 3]]) for n in range(G)
        ]
        for row in rows
    }


def drawing(kind, groups):
    """A kind of trainer whose draws are these; what is sampled first is put among them."""
    if kind in (GRPOTrainer, Trainer):  # with vLLM ours takes TRL's own step, but for the scores
        bases = (Stock,) if kind is GRPOTrainer else (Stock, Trainer)
        return type("Stock", bases, {"groups": groups})

    class Ours(kind):
        def roll(self, samples, draws):
            rolled = super().roll(samples, draws)
            prompts = [tuple(self.prompt(sample)) for sample in samples]
            if kind is Sampling:
                groups.update(zip(prompts, rolled, strict=True))
            return [groups[prompt] for prompt in prompts]

        def chances(self):
            return None  # of what was told, not drawn

    return Ours


def charts(trainer):
    names = ("loss", "reward", "kl", "entropy")
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [[entry[name] for name in names if name in entry] for entry in logs]


@pytest.mark.parametrize(
    ("kind", "budget", "options"),
    [
        (Enumerating, 9999, {}),
        (Enumerating, 60, {}),
        (Trainer, 60, {"loss_type": "dapo"}),
        slow(Trainer, 9999, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        (Sampling, 60, {}),
        slow(Sampling, 9999, {"temperature": 0.7}),
        slow(Enumerating, 60, {"loss_type": "grpo"}),
        slow(Enumerating, 60, {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.0}),
        (Enumerating, 60, {"loss_type": "bnpo", "scale_rewards": "batch"}),
        (Enumerating, 60, {"num_iterations": 2, "temperature": 0.7}),
        slow(Enumerating, 9999, {"importance_sampling_level": "sequence", "num_iterations": 2}),
        slow(Enumerating, 9999, {"gradient_checkpointing": True}),
        (Enumerating, 60, {"gradient_checkpointing": True}),
    ],
)
def test_a_step_is_that_of_trls_own_trainer(
    kind, budget, options, model, tokenizer, rows, answers, tmp_path
):
    groups = fixed(rows, answers)
    found = []
    for other, tokens in ((kind, budget), (GRPOTrainer, 0)):
        made, keep = trainer_of(
            drawing(other, groups), model, tokenizer, rows, answers, tmp_path, tokens, **options
        )
        made.train()
        found.append((charts(made), keep.gradients))
    (ours, our_gradients), (theirs, their_gradients) = found
    assert len(ours) == len(our_gradients) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, abs=1e-5, rel=1e-4)
    for one, other in zip(our_gradients, their_gradients, strict=True):
        assert other.norm() > 1e-3
        assert (one - other).norm() < 1e-4 * other.norm()


def count_forwards(made):
    """Tokens fed, of every forward of a trainer's model."""
    fed = []
    made.model.get_base_model().register_forward_pre_hook(
        lambda _, __, kwargs: fed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    return fed


def test_what_enumeration_scored_is_not_scored_again(model, tokenizer, rows, answers, tmp_path):
    """Long prompts, short answers: one forward a step, and one for the reference."""
    for row in rows:
        row["prompt_ids"] = row["prompt_ids"] * 9
    made, keep = trainer_of(Enumerating, model, tokenizer, rows, answers, tmp_path)
    fed = count_forwards(made)
    made.train()
    assert len(fed) == 6
    whole = [
        pack(row["prompt_ids"], [answers[item] for item in row["candidates"]]).size for row in rows
    ]
    assert sum(fed[::2]) == sum(whole)  # each of nine prompts once in three steps of three
    assert all(gradient.norm() > 0 for gradient in keep.gradients)


def test_the_reference_is_asked_once_a_sample_and_goes_into_checkpoints(
    model, tokenizer, rows, answers, tmp_path
):
    found, saving = [], {"max_steps": 6, "save_strategy": "steps", "save_steps": 6}
    for kept in (None, ReferenceScores()):
        made, keep = trainer_of(Enumerating, model, tokenizer, rows, answers, tmp_path, **saving)
        made.kept = kept
        fed = count_forwards(made)
        made.train()
        found.append((len(fed), charts(made), keep.gradients))
    (plain, charted, gradients), (fewer, other_charts, other_gradients) = found
    assert fewer == plain - 3  # the second epoch asks no reference
    for one, other in zip(charted, other_charts, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    for one, other in zip(gradients, other_gradients, strict=True):
        assert (one - other).norm() < 1e-4 * other.norm()
    again = ReferenceScores()
    again.load(tmp_path / "Enumerating" / "checkpoint-6")
    assert again.known.keys() == kept.known.keys()
    assert all(torch.equal(again.known[id], kept.known[id]) for id in kept.known)


def test_draws_are_those_of_constrained_sampling(model, tokenizer, rows, answers, tmp_path):
    """Candidates drawn at once, against candidates written token by token under their trie."""
    made, _ = trainer_of(Enumerating, model, tokenizer, rows, answers, tmp_path, group=600)
    row = rows[4]
    drawn = [tuple(tokens) for tokens in made.roll([row], 600)[0]]
    these = [answers[item] for item in row["candidates"]]
    written = sample(
        made.model,
        [row["prompt_ids"]],
        [range(600)],
        ends=[tokenizer.eos_token_id],
        pad_id=tokenizer.pad_token_id,
        room=max(map(len, these)),
        answers=[these],
        tokens_per_batch=9999,
    )[0]
    counts = np.array([drawn.count(tuple(answer)) for answer in these])
    others = np.array([[tuple(one.tokens) for one in written].count(tuple(a)) for a in these])
    assert counts.sum() == others.sum() == 600
    expected = log_choice(*scored(made.model, row, these), "token").exp().numpy() * 600
    assert expected.min() > 10
    assert chisquare(counts, expected).pvalue > 1e-3
    assert chisquare(others, expected).pvalue > 1e-3
    whole = log_choice(*scored(made.model, row, these), "sequence").exp().numpy() * 600
    assert chisquare(counts, whole).pvalue < 1e-3  # the two constraints are not the same


def scored(model, row, these):
    packed = [pack(row["prompt_ids"], these)]
    with torch.inference_mode():
        return packed, token_logps(model.eval(), packed).logps.double()


def test_draws_depend_on_step_sample_and_place_alone(model, tokenizer, rows, answers, tmp_path):
    made, _ = trainer_of(Enumerating, model, tokenizer, rows, answers, tmp_path, group=12)
    first, second = made.roll(rows[:2], 12)
    assert [second, first] == made.roll([rows[1], rows[0]], 12)
    assert made.roll(rows[:1], 5) == [first[:5]]
    assert len(set(map(tuple, first))) > 1
    made.state.global_step = 1
    assert made.roll(rows[:1], 12) != [first]


def test_written_answers_bring_their_scores(model, tokenizer, rows, answers, tmp_path):
    for kind, constraint in ((Sampling, None), (Sampling, "token"), (Beaming, "token")):
        made, _ = trainer_of(kind, model, tokenizer, rows, answers, tmp_path, group=3)
        made.constraint = constraint
        groups = made.roll(rows[:3], 3)
        plain = eager(made.model.eval())
        for row, group in zip(rows, groups, strict=False):
            prompt = tuple(row["prompt_ids"])
            these = {tuple(answers[item]) for item in row["candidates"]}
            for tokens in group:
                assert constraint is None or tuple(tokens) in these
                logps, entropies = made.book.look_up([(prompt, tuple(tokens))], len(tokens))
                expected, spread = by_itself(plain, list(prompt), tokens)
                assert torch.allclose(logps[0], expected, atol=1e-5)
                assert torch.allclose(entropies[0], spread, atol=1e-4)
            if kind is Beaming:
                assert {tuple(tokens) for tokens in group} == these


@pytest.mark.parametrize("constraint", ["token", "sequence"])
@pytest.mark.parametrize("budget", [9999, 60])
def test_exact_is_the_gradient_of_the_expected_reward(
    budget, constraint, model, tokenizer, rows, answers, tmp_path
):
    made, keep = trainer_of(
        *(Exhausting, model, tokenizer, rows, answers, tmp_path, budget),
        group=3,
        max_steps=1,
        words=[f"algorithm.rollout.constraint={constraint}"],
    )
    before = copy.deepcopy(made.model.state_dict())
    made.train()
    plain = made.model
    plain.load_state_dict(before)
    plain.set_attn_implementation("eager")
    total, paid = 0.0, []
    for id in made.tables:
        row = rows[int(id)]
        these = [answers[item] for item in row["candidates"]]
        log_q = brute(plain, row, these, constraint)
        rewards = torch.tensor(reward([[{"content": item}] for item in row["candidates"]]))
        total = total - (log_q.exp() * rewards).sum() / PROMPTS  # the KL is 0 at the first step
        paid.append((log_q.exp() * rewards).sum().item())
    plain.zero_grad()
    total.backward()
    expected = torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None])
    assert expected.norm() > 1e-3
    assert (keep.gradients[0] - expected).norm() < 1e-4 * expected.norm()
    (entry,) = [entry for entry in made.state.log_history if "loss" in entry]
    assert entry["reward"] == pytest.approx(np.mean(paid), abs=1e-5)
    assert entry["kl"] == pytest.approx(0, abs=1e-6)


def brute(model, row, these, constraint):
    """log q of every answer, by plain forwards."""
    if constraint == "sequence":
        sums = [by_itself(model, row["prompt_ids"], answer)[0].sum() for answer in these]
        return torch.stack(sums).log_softmax(0)
    found = []
    for answer in these:
        total = 0.0
        for place, token in enumerate(answer):
            ids = torch.tensor([[*row["prompt_ids"], *answer[:place]]])
            logits = model(input_ids=ids).logits[0, -1]
            next_ones = {o[place] for o in these if len(o) > place and o[:place] == answer[:place]}
            total = total + logits[token] - logits[sorted(next_ones)].logsumexp(0)
        found.append(total)
    return torch.stack(found)


def test_exact_climbs(model, tokenizer, rows, answers, tmp_path):
    with torch.no_grad():  # random embeddings are so small that no choice could be sure
        model.model.embed_tokens.weight.mul_(10)
    climbing = {"max_steps": 30, "optim": "adamw_torch", "learning_rate": 0.01, "beta": 0.0}
    made, _ = trainer_of(Exhausting, model, tokenizer, rows, answers, tmp_path, group=3, **climbing)
    made.train()
    paid = [entry["reward"] for entry in made.state.log_history if "reward" in entry]
    best = [max(reward([[{"content": item}] for item in row["candidates"]])) for row in rows]
    assert np.mean(paid[:3]) < np.mean(best) - 0.1  # an epoch
    assert np.mean(paid[-3:]) == pytest.approx(np.mean(best), abs=0.05)
