"""Stage ``export``: a policy's model as one folder for others, with its model card."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mllmrec.artifacts import SCRATCH, write_json
from mllmrec.backbone.base import Backbone
from mllmrec.dataset.base import Dataset
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.origin import ORIGINS
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import NoEffect, Words
from mllmrec.serving import base
from mllmrec.serving.card import Facts, card
from mllmrec.serving.delivery import Kind, check_free, deliver
from mllmrec.serving.lineage import lineage, trained_on
from mllmrec.stage.base import Job, Metrics, Stage
from mllmrec.stage.evaluate import RESULTS
from mllmrec.stage.rank import WRITERS, Rank, check_policies
from mllmrec.training.options import Tolerance

if TYPE_CHECKING:
    from mllmrec.schema import Config

CARD, EXAMPLE, STAMP = "README.md", "example.json", "mllmrec.json"
SHOWN = (3, 10)  # items of the example's history, and its candidates


def others(folder: Path) -> list[str] | None:
    """Files that no export has written beside its own; None of what is no export."""
    stamp = folder / STAMP
    if not stamp.is_file():
        return None
    try:
        told = json.loads(stamp.read_text(encoding="utf-8"))
    except ValueError:  # neither UTF-8 nor JSON
        return None
    own = told.get("files", ()) if isinstance(told, dict) else ()
    return files_in(folder, but=(STAMP, *own))


def files_in(folder: Path, *, but: Collection[str]) -> list[str]:
    """What lies below a folder and is no folder itself, by its path in it, in order."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(folder).as_posix() for path in paths} - {*but})


EXPORT = Kind(name="an earlier export", others=others)


class Export(Stage):
    """The merged model of ``policy`` with tokenizer, chat template, generation config and card.

    The card tells the results of an evaluation of the policy and of those in ``beside``, by the
    knobs of ``evaluate``; rankings that are there are reused. ``check_samples`` prompts of the
    validation split show that nothing but rounding has changed. ``to`` is a copy of the folder.
    """

    name: ClassVar[str] = "export"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words", "dataset")
    needs_torch: ClassVar[bool] = True

    policy: str
    dtype: Literal["backbone", "float32", "bfloat16"]
    check_samples: Annotated[int, Field(ge=1)]
    tolerance: Tolerance
    max_new_tokens: Annotated[int, Field(ge=1)] | None
    evaluated: bool
    beside: list[str]
    base_licence: str | None
    to: Annotated[Path | None, NoEffect()]
    overwrite: Annotated[bool, NoEffect()]

    def check(self, config: "Config") -> None:
        if self.policy not in WRITERS:
            raise Refusal(
                f"export.policy={self.policy}: is no language model, so there is nothing that"
                " transformers could load",
                allowed=", ".join(WRITERS),
                do="type export.policy=grpo, or one of these",
            )
        check_policies(self.beside, config)

    def ready(self, config: "Config") -> None:
        if self.to:
            check_free("export.to", self.to.expanduser(), EXPORT, overwrite=self.overwrite)

    def inputs(self, config: "Config") -> dict[str, Stage]:
        below = self.made_of(config)
        if self.evaluated:
            below["evaluation"] = self.evaluation(config)
        return below

    def made_of(self, config: "Config") -> dict[str, Stage]:
        """What evaluation makes the policy from."""
        rank: Rank = config.stages["evaluate"].rank(self.policy)
        return rank.model_copy(update={"hint": False}).inputs(config)

    def evaluation(self, config: "Config") -> Stage:
        """The evaluation of the policy beside a few others, told apart by paired differences."""
        beside = [name for name in self.beside if name != self.policy]
        pairs = [(self.policy, name) for name in beside]
        told = {"policies": [*beside, self.policy], "compare": pairs}
        stage: Stage = config.stages["evaluate"].model_copy(update=told)
        return stage

    def effective(self, config: "Config") -> dict[str, Any]:
        """The data are told by what was prepared from them; the policies, by the evaluation."""
        groups = {name: config.groups[name].knobs() for name in ("backbone", "prompt", "words")}
        groups["prompt"]["inject"] = config.prompt.inject
        knobs = {name: value for name, value in self.knobs().items() if name != "beside"}
        return {"knobs": knobs, "groups": groups}

    def run(self, job: Job) -> Metrics:
        from mllmrec.serving.merged import save_merged

        metrics = save_merged(
            job, self.dtype, self.check_samples, self.tolerance, self.max_new_tokens
        )
        line = lineage(job.inputs.values())
        message = self.example(job, is_listed=trained_on(line) != FULL)
        found = job.inputs.get("evaluation")
        results = json.loads((found / RESULTS).read_text(encoding="utf-8")) if found else None
        facts = self.facts(job, metrics, line, results, message)
        (job.out / CARD).write_text(card(facts), encoding="utf-8")
        told = {"format": 1, "policy": self.policy, "metrics": metrics, "lineage": line}
        own = [name for name in files_in(job.out, but=()) if not name.startswith(f"{SCRATCH}/")]
        told |= {"results": results, "files": own}
        write_json(job.out / STAMP, told)
        return metrics

    def example(self, job: Job, is_listed: bool) -> str:
        """A message of the catalogue's first items, nobody's history; also as a file to send.

        It lists candidates where those of training did.
        """
        prepared, prompt = Prepared.of(job.inputs), job.group(Prompt)
        ids, (history, candidates) = prepared.items["item_id"].to_list(), SHOWN
        text = prompt.render(
            *(ids[:history], ids[history : history + candidates] if is_listed else []),
            prepared.titles,
            job.group(Words).model_dump(),
            captions=prepared.captions,
        )
        thinks = prompt.inject == "completion"
        settings = json.loads((job.out / "generation_config.json").read_text(encoding="utf-8"))
        told = {
            "messages": prompt.messages(text),
            "max_tokens": settings["max_new_tokens"],
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": thinks},
        }
        write_json(job.out / EXAMPLE, told)
        return text

    def facts(self, job: Job, metrics: Metrics, line: Any, results: Any, message: str) -> Facts:
        config = json.loads((job.out / "config.json").read_text(encoding="utf-8"))
        backbone, dataset = job.group(Backbone), type(job.group(Dataset)).__module__
        return Facts(
            policy=self.policy,
            words=job.group(Words),
            metrics=metrics,
            architecture=config["architectures"][0],
            dtype=config["dtype"],
            line=line,
            results=results,
            origin=ORIGINS[dataset.rpartition(".")[2]],
            base=base.told(backbone),
            base_name=base.hub_name(backbone),
            base_licence=self.base_licence or base.licence_of(backbone),
            example=message,
        )

    def show(self, folder: Path) -> None:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))["metrics"]
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"]
        print(
            f"{self.policy}: {found['parameters']:,.0f} parameters in {kind}, log-probabilities"
            f" within {found['max_logp_difference']:.2g} nats of the policy's"
        )
        print(f"model card: {folder / CARD}")
        print(f"load it by AutoModelForCausalLM.from_pretrained({str(folder)!r})")
        if self.to:
            deliver("export.to", folder, self.to, EXPORT, overwrite=self.overwrite)
