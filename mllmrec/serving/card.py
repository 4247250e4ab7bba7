"""The model card of an exported model: data, recipe, results, lineage, licences, limitations."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.origin import Origin
from mllmrec.report.tables import place, sentence
from mllmrec.schema import Words
from mllmrec.serving.lineage import step

KINDS = {
    "backbone": "the backbone as it is before any training for the task",
    "sft": "supervised fine-tuning on candidate prompts, the adapter merged",
    "sft_continued": "supervised fine-tuning, merged, and as many steps of it more as GRPO takes",
    "grpo": "supervised fine-tuning, then reinforcement learning (GRPO), both merged",
}
RECIPE = ("pretrain", "sft", "grpo", "sft_continued")
GROUPS = ("algorithm", "reward")
UNKNOWN = "not known here; look at its own model card"
USE = """```python
import json
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "{folder}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
asked = json.load(open(f"{{folder}}/example.json"))
inputs = tokenizer.apply_chat_template(
    asked["messages"], add_generation_prompt=True, return_dict=True, return_tensors="pt",
    **asked["chat_template_kwargs"],
)
written = model.generate(**inputs)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(written, skip_special_tokens=True))
```"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells.

    ``line`` is the lineage, ``results`` those of the evaluation or None, ``base`` the base model in
    words, ``base_name`` its name on a hub if it has one, ``base_licence`` None where it is unknown;
    ``example`` a whole message as the model reads it.
    """

    policy: str
    words: Words
    metrics: Mapping[str, float]
    architecture: str
    dtype: str
    line: Sequence[Mapping[str, Any]]
    results: Mapping[str, Any] | None
    origin: Origin
    base: str
    base_name: str | None
    base_licence: str | None
    example: str

    @property
    def licence(self) -> str:
        """That of base and data where it is one and the same; whoever publishes has to settle it
        else.
        """
        told = {self.base_licence, self.origin.licence}
        return (self.base_licence or "other") if len(told) == 1 else "other"

    @property
    def told_targets(self) -> bool:
        """Whether somebody who wrote rationales was told the targets."""
        found = (one.get("identity", {}).get("groups", {}) for one in self.line)
        return any(g.get("reasoner", {}).get("reveal_target") for g in found)


def card(facts: Facts) -> str:
    """The whole README.md."""
    name = f"mllmrec {facts.policy}, {facts.origin.name.split(',')[0]}"
    parts = [
        f"---\n{front(facts, name)}---\n\n# {name}",
        f"Recommends the next {facts.words.noun} from what a user has {facts.words.verb}:"
        f" {facts.architecture}, {facts.metrics['parameters']:,.0f} parameters in {facts.dtype};"
        f" {KINDS[facts.policy]}. Base: {facts.base}.",
        use(facts),
        data(facts),
        recipe(facts),
        results(facts),
        limits(facts),
        licences(facts),
        lineage(facts),
    ]
    return "\n\n".join(parts) + "\n"


def front(facts: Facts, name: str) -> str:
    """The block of YAML that model hubs read."""
    told: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": facts.licence,
        "tags": ["recommendation", "sequential-recommendation", "mllmrec", facts.policy],
    }
    if facts.licence == "other":
        told["license_name"] = "base-model-and-data"
    if facts.base_name:
        told["base_model"] = facts.base_name
    if facts.results:
        told["model-index"] = [{"name": name, "results": [*index(facts, facts.results)]}]
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)


def index(facts: Facts, results: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The policy's own means, a protocol each, as hubs list them."""
    for protocol, found in results["protocols"].items():
        metrics = found["policies"][facts.policy]
        yield {
            "task": {"type": "text-generation", "name": "next-item recommendation"},
            "dataset": {"name": facts.origin.name, "type": "recommendation", "config": protocol},
            "metrics": [
                {"type": name, "name": name.upper(), "value": round(value["mean"], 4)}
                for name, value in sorted(metrics.items(), key=lambda pair: place(pair[0]))
            ],
        }


def use(facts: Facts) -> str:
    """Code that runs as it stands, and a prompt as the model was trained on it."""
    longest = max(map(len, re.findall("`+", facts.example)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n\n".join(
        [
            "## Use",
            USE.format(folder="."),
            "`example.json` holds this message, of items of the catalogue and of no real user."
            " The model knows prompts of this form alone: items as `[ITEM_id]`, by the ids of its"
            " data.",
            f"{fence}text\n{facts.example}\n{fence}",
            "It was evaluated by ranking candidates by the log-probability of their answers, which"
            " cannot invent items; what it writes freely may name none of them. `vllm serve DIR`"
            " reads the same files; hand it `chat_template_kwargs` as in `example.json`.",
        ]
    )


def data(facts: Facts) -> str:
    prepared = step(facts.line, "prepare") or {}
    counts = prepared.get("metrics", {})
    knobs = prepared.get("identity", {}).get("knobs", {})
    names = ("users", "items", "interactions", "train_samples", "test_samples")
    told = ", ".join(f"{counts[n]:,.0f} {n.replace('_', ' ')}" for n in names if n in counts)
    lines = [f"Trained on {facts.origin.name}: {told}."]
    if knobs:
        lines += [
            f"Split: {knobs['split']}; histories of up to {knobs['history_length']} items;"
            f" candidates in training: {listed_in_training(knobs['train_protocol'])}."
        ]
    if captions := step(facts.line, "caption"):
        lines += [f"Pictures are told in words, {captions['metrics'].get('captions', 0):.0f} of"
                  " them (`caption` below)."]  # fmt: skip
    if told_of := step(facts.line, "assess"):
        lines += [
            f"Rationales: {told_of['metrics'].get('kept', 0):.0f} were kept after assessment."
        ]
    if facts.origin.page:
        lines += [f"Owner's page: <{facts.origin.page}>."]
    return "## Data\n\n" + " ".join(lines)


def listed_in_training(protocol: str) -> str:
    """What training prompts listed, in words where it was nothing."""
    return "the whole catalogue, which no prompt lists" if protocol == FULL else protocol


def recipe(facts: Facts) -> str:
    """The knobs that can change the result, of what was trained last to first."""
    told: dict[str, Any] = {}
    for label in RECIPE:
        if found := step(facts.line, label):
            identity = found["identity"]
            told[label] = identity.get("knobs") or identity
            told |= {g: identity["groups"][g] for g in GROUPS if g in identity.get("groups", {})}
    if not told:
        return "## Recipe\n\nNothing was trained here."
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
    seed = facts.line[-1].get("identity", {}).get("seed")
    told_all = f"Seed {seed}. Every knob is in `mllmrec.json`."
    return f"## Recipe\n\n{told_all}\n\n```yaml\n{text}```"


def results(facts: Facts) -> str:
    """A table a protocol, means and their 95 % intervals, and paired differences in words."""
    if not facts.results:
        return "## Results\n\nNot evaluated when it was exported (`export.evaluated=false`)."
    parts = ["## Results", "On held-out test samples; in brackets the 95 % interval."]
    for protocol, found in facts.results["protocols"].items():
        first = next(iter(found["policies"].values()))
        names = sorted((name for name in first if name != "ndcg@1"), key=place)
        whole = "the whole catalogue, up to " if protocol == "full" else ""
        rows = [
            ["policy", *(name.upper() for name in names)],
            ["---"] * (1 + len(names)),
            *(
                [f"**{name}**" if name == facts.policy else name, *(cell(by[n]) for n in names)]
                for name, by in found["policies"].items()
            ),
        ]
        parts += [
            f"`{protocol}`: {whole}{found['candidates']} candidates, {found['samples']} samples"
        ]
        parts += ["\n".join(f"| {' | '.join(row)} |" for row in rows)]
    told = [sentence(line) for line in facts.results["differences"]]
    return "\n\n".join([*parts, *(["\n".join(f"- {line}" for line in told)] if told else [])])


def cell(metric: Mapping[str, float]) -> str:
    return f"{metric['mean']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def limits(facts: Facts) -> str:
    items = (step(facts.line, "prepare") or {}).get("metrics", {}).get("items", 0)
    told = [
        f"It knows the {items:,.0f} items of its data, as they were then; others it cannot tell"
        " apart, and new ones want training.",
        "It repeats what its data prefer: what is popular there, and who was counted there. It is"
        " no ground for decisions about people.",
        "Results are of one data set, one seed and the candidates named above; with other"
        " candidates they differ.",
    ]
    lost = facts.metrics["max_logp_difference"]
    told += [
        f"Saving it in {facts.dtype} moves log-probabilities of tokens by at most {lost:.2g} nats"
        " on what was checked."
    ]
    if facts.told_targets:
        told += ["**The writer of its rationales was told the targets: training rewards are"
                 " inflated by that.**"]  # fmt: skip
    found = facts.results or {}
    told += [*found.get("warnings", ()), *found.get("notes", ())]
    return "## Limitations\n\n" + "\n".join(f"- {line}" for line in told)


def licences(facts: Facts) -> str:
    data = facts.origin.licence or "no standard licence"
    return (
        f"## Licence\n\n- Base model: {facts.base_licence or UNKNOWN}.\n- Data: {data}."
        f" {facts.origin.terms}\n\nTitles and ids of the data are part of the tokenizer or of what"
        " the model has learnt; whether the weights may be passed on hangs on both."
    )


def lineage(facts: Facts) -> str:
    rows = ["| made by | id | stands on |", "| --- | --- | --- |"]
    for one in facts.line:
        below = one.get("identity", {}).get("inputs", {})
        rows += [f"| {one['label']} | `{one['id']}` | {', '.join(sorted(below)) or '-'} |"]
    code = next((one["git"] for one in reversed(facts.line) if one.get("git")), None)
    changed = ", with changes of its own" if code and code["dirty"] else ""
    from_code = f" The code was at commit `{code['commit']}`{changed}." if code else ""
    return (
        "## Lineage\n\nIds are hashes of all that could change the result; `mllmrec.json` has"
        f" knobs, metrics and versions of each.{from_code}\n\n" + "\n".join(rows)
    )
