"""Stage ``show``: prompts as a model reads them, with their answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared, Split
from mllmrec.rendering import render_all
from mllmrec.schema import Words
from mllmrec.stage.base import Job, Metrics, Stage, check_drawn

if TYPE_CHECKING:
    from mllmrec.schema import Config

PROMPTS = "prompts.txt"


class Show(Stage):
    """The first ``samples`` prompts of a split under a protocol, before the chat template."""

    name: ClassVar[str] = "show"
    uses: ClassVar[tuple[str, ...]] = ("prompt", "words")

    split: Split
    protocol: str
    samples: Annotated[int, Field(ge=1)]

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {"prepare": config.stages["prepare"]}

    def check(self, config: "Config") -> None:
        if self.split != "train":
            check_drawn("show.protocol", [self.protocol], config)
        elif self.protocol != "train":
            raise Refusal(
                f"show.protocol={self.protocol}: the train split has candidates of its own alone",
                allowed="show.protocol=train with show.split=train",
                do="type show.protocol=train",
            )

    def run(self, job: Job) -> Metrics:
        prepared, prompt = Prepared(job.inputs["prepare"]), job.group(Prompt)
        samples = prepared.samples(self.split).head(self.samples)
        texts = render_all(samples, self.protocol, prepared, prompt, job.group(Words))
        parts = [
            f"--- {id}\n{text}\n--- answer\n{prompt.answer_text(target, prepared.titles[target])}\n"
            for id, text, target in zip(samples["sample_id"], texts, samples["target"], strict=True)
        ]
        (job.out / PROMPTS).write_text("\n".join(parts), encoding="utf-8")
        return {}

    def show(self, folder: Path) -> None:
        print((folder / PROMPTS).read_text(encoding="utf-8"))
