"""A 4-billion-parameter model on a GPU: a GRPO step against TRL's, ranking against generating.

    python bench/gpu.py [--repeats N] [--peak-tflops N] [--only grpo|evaluation] [--quick]

The shape of Qwen3-4B with random weights in bfloat16, prompts of about 512 and 2,048 tokens with 10
candidates. A step is 4 prompts with groups of 8, LoRA of rank 16 on all linear layers; TRL takes
its 32 rows as 4 × 8. Evaluation is held against the published loop: one prompt at a time, greedy,
256 new tokens. Sides run one after the other, each in a process of its own, so that each has the
whole memory. The share of the chip's peak counts 2 × parameters × tokens that were really fed,
three times where gradients follow; tokens a second are those of the task, the same for both.
Without CUDA it says so and writes nothing; --quick tries a small model on whatever there is.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from _claims import Claim, options, record
from _grpo import GROUP, PROMPTS, SIDES, trainer_of
from _measure import beside
from _setup import OURS, STOCK, Questions, Setup
from evaluation import differences, generated, naive, ours
from transformers import Qwen3Config, Qwen3ForCausalLM, TrainerCallback

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # bfloat16, dense, by name of the device
HISTORIES = {512: 14, 2048: 84}  # items, by the tokens that the prompt then has
QUICK = {100: 1}
WRITTEN = 256
STEP_GOAL, EVALUATION_GOAL, SHARE_GOAL = 6.0, 30.0, 0.4
OTHER = "TRL, 4 times 8 rows"
FOUR_BILLION = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
SMALL = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
}


class Taken(NamedTuple):
    """Medians of one step, or of one round of evaluation."""

    seconds: float
    fed: float  # tokens, those with gradients three times
    parameters: int
    peak: int  # bytes
    apart: float = 0.0  # nats, of an answer's score from that of its whole sequence


def random_model(attention: str, args: argparse.Namespace) -> Any:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    shape = FOUR_BILLION | (SMALL if args.quick else {})
    config = Qwen3Config(**shape, max_position_embeddings=40960, tie_word_embeddings=True)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        config.dtype = torch.bfloat16
        torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if on_gpu else "cpu"):
        model = Qwen3ForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    model.set_attn_implementation(attention)
    return model


class Meter:
    """Seconds and fed tokens between ``start`` and ``stop``, and the peak of memory over all."""

    def __init__(self, model: Any) -> None:
        self.parameters, self.rounds, self.fed = model.num_parameters(), [], 0
        model.model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, _: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        self.fed += ids.numel() * (3 if torch.is_grad_enabled() else 1)

    def start(self) -> None:
        self.fed, self.began = 0, now()

    def stop(self) -> None:
        self.rounds.append((now() - self.began, self.fed))

    def taken(self) -> Taken:
        """After a first round that does not count."""
        seconds, fed = map(statistics.median, zip(*self.rounds[1:], strict=True))
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 1
        return Taken(seconds, fed, self.parameters, peak)


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Metered(TrainerCallback):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.meter.start()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.meter.stop()


def steps(pipe: Connection, name: str, history: int, args: argparse.Namespace) -> None:
    side, setup = SIDES[name], Setup("tiny", ("stage=grpo",))
    model = random_model(OURS if side.is_ours else STOCK, args)
    meter = Meter(model)
    trainer = trainer_of(
        side,
        setup,
        setup.questions(PROMPTS, history),
        model=model,
        bf16=torch.cuda.is_available(),
        max_steps=args.repeats + 1,
    )
    trainer.add_callback(Metered(meter))
    trainer.train()
    pipe.send(meter.taken())


def ranking(pipe: Connection, name: str, history: int, args: argparse.Namespace) -> None:
    setup = Setup("tiny")
    asked = setup.questions(2 if args.quick else 8, history)
    model = random_model(OURS if name == "ours" else STOCK, args)
    meter = Meter(model)
    new = 8 if args.quick else WRITTEN
    run = partial(ours, setup) if name == "ours" else partial(generated, setup, tokens=new)
    for _ in range(args.repeats + 1):
        meter.start()
        found = run(model, asked)
        meter.stop()
    taken = meter.taken()
    if name == "ours":
        model.set_attn_implementation(STOCK)
        taken = taken._replace(apart=differences(found, naive(model, asked))[1])
    pipe.send(taken)


def measured(work: Callable[..., None], name: str, history: int, args: Any) -> Taken:
    with beside(work, name, history, args) as pipe:
        return pipe.recv()


def compare(
    claim: str, ours: Taken, theirs: Taken, tokens: float, peak: float, goal: float
) -> list[Claim]:
    figures: dict[str, Any] = {}
    for side, one in (("ours", ours), ("theirs", theirs)):
        share = 2 * one.parameters * one.fed / one.seconds / peak
        figures |= {
            f"{side}, ms": one.seconds * 1e3,
            f"{side}, tokens/s": tokens / one.seconds,
            f"{side}, % of peak": share * 100,
            f"{side}, GB": one.peak / 1e9,
        }
    ratio = theirs.seconds / ours.seconds
    return [
        Claim(claim=claim, ratio=ratio, ratio_wall=ratio, goal=goal, figures=figures),
        Claim(claim=f"{claim}: peak memory", ratio=theirs.peak / ours.peak),
    ]


def task_tokens(asked: Questions) -> tuple[float, float]:
    """Mean tokens of a prompt and of an answer."""
    lengths = [len(answer) for row in asked.answers for answer in row]
    return statistics.mean(map(len, asked.prompts)), statistics.mean(lengths)


def chip(args: argparse.Namespace) -> tuple[str, float]:
    """The device's name and its peak in FLOP/s."""
    if args.quick and not torch.cuda.is_available():
        return "no GPU", 1e12
    name = torch.cuda.get_device_name()
    known = next((peak for key, peak in PEAKS.items() if key in name), None)
    if not (args.peak_tflops or known):
        raise SystemExit(f"{name}: its peak is not known here · type --peak-tflops N (bfloat16)")
    return name, args.peak_tflops * 1e12 if args.peak_tflops else known


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--peak-tflops", type=float, help="of the device, bfloat16, dense")
    parser.add_argument("--only", choices=["grpo", "evaluation"])
    args = parser.parse_args()
    if not (torch.cuda.is_available() or args.quick):
        print("bench/gpu.py: no CUDA device here, so nothing was measured and nothing written")
        return
    name, peak = chip(args)
    claims = []
    for tokens, history in (QUICK if args.quick else HISTORIES).items():
        asked = Setup("tiny").questions(PROMPTS, history)
        prompt, answer = task_tokens(asked)
        if args.only != "evaluation":
            other = measured(steps, OTHER, history, args)
            for rollout in ("enumerate", "sample"):
                own = measured(steps, rollout, history, args)
                work = PROMPTS * GROUP * (prompt + answer)
                claim = f"a GRPO step, prompts of {tokens}, {rollout}, against TRL"
                claims += compare(claim, own, other, work, peak, STEP_GOAL)
                share = 2 * own.parameters * own.fed / own.seconds / peak
                whole = f"{claim}: share of the chip's peak over the whole step"
                claims.append(Claim(claim=whole, ratio=share, goal=SHARE_GOAL))
        if args.only != "grpo":
            own, other = (measured(ranking, side, history, args) for side in ("ours", "published"))
            work = (2 if args.quick else 8) * (prompt + 10 * answer)
            claim = f"ranking, prompts of {tokens}, against generating {WRITTEN} tokens"
            claims += compare(claim, own, other, work, peak, EVALUATION_GOAL)
            claims[-2].figures["from full sequences, nats"] = own.apart  # rounding of bfloat16
    record(__file__, claims, args, device=name)


if __name__ == "__main__":
    main()
