"""Stage ``show``: prompts as a model reads them, with their answers and their lengths."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared, Split
from mllmrec.rendering import render_all
from mllmrec.schema import Words
from mllmrec.stage.base import Job, Metrics, Stage, check_drawn, known
from mllmrec.stage.hints import hints_of
from mllmrec.training.rationales import drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config

PROMPTS = "prompts.txt"


class Show(Stage):
    """The first ``samples`` prompts of a split under a protocol, before the chat template.

    ``tokens`` counts those of the whole chat, by the backbone's tokenizer; ``hint`` shows a
    rationale with each prompt, as the reasoner writes it, neither assessed nor chosen.
    """

    name: ClassVar[str] = "show"
    uses: ClassVar[tuple[str, ...]] = ("prompt", "words", "backbone")

    split: Split
    protocol: str
    samples: Annotated[int, Field(ge=1)]
    tokens: bool
    hint: bool

    def inputs(self, config: "Config") -> dict[str, Stage]:
        told = hints_of(config, self.split, self.samples, "show") if self.hint else {}
        return known(config) | told

    def effective(self, config: "Config") -> dict[str, Any]:
        found = super().effective(config)
        found["groups"]["prompt"]["inject"] = config.prompt.inject
        return found

    def check(self, config: "Config") -> None:
        if self.hint and config.prompt.inject == "none":
            raise Refusal(
                "show.hint=true: with prompt.inject=none a rationale goes nowhere",
                allowed="prompt.inject=prompt or completion",
                do="type show.hint=false, or prompt.inject=prompt",
            )
        if self.split != "train":
            check_drawn("show.protocol", [self.protocol], config)
        elif self.protocol != "train":
            raise Refusal(
                f"show.protocol={self.protocol}: the train split has candidates of its own alone",
                allowed="show.protocol=train with show.split=train",
                do="type show.protocol=train",
            )

    def run(self, job: Job) -> Metrics:
        prepared, prompt = Prepared.of(job.inputs), job.group(Prompt)
        samples = prepared.chosen(self.split, self.samples, job.seed, "show")
        told = drafts(job.inputs["hints"]) if "hints" in job.inputs else {}
        thinks = prompt.inject == "completion"
        hints = {} if thinks else told
        texts = render_all(samples, self.protocol, prepared, prompt, job.group(Words), hints)
        answers = [prompt.answer_text(item, prepared.titles[item]) for item in samples["target"]]
        if thinks:
            ids = samples["sample_id"]
            answers = [prompt.thought(told.get(i)) + a for i, a in zip(ids, answers, strict=True)]
        lengths = [""] * len(texts)
        if self.tokens:
            from mllmrec.training.tokens import count

            lengths = [
                f" · {asked} tokens, answer {answered}"
                for asked, answered in count(job, prepared, texts, answers)
            ]
        rows = zip(samples["sample_id"], lengths, texts, answers, strict=True)
        parts = [
            f"--- {id}{length}\n{text}\n--- answer\n{answer}\n" for id, length, text, answer in rows
        ]
        (job.out / PROMPTS).write_text("\n".join(parts), encoding="utf-8")
        return {}

    def show(self, folder: Path) -> None:
        print((folder / PROMPTS).read_text(encoding="utf-8"))
