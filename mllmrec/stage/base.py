"""What every stage has: inputs, effective knobs, an identity, and one verb."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mllmrec.artifacts import PARTIAL, SCRATCH
from mllmrec.errors import Refusal
from mllmrec.schema import Model

if TYPE_CHECKING:
    from mllmrec.schema import Config

Metrics = dict[str, float]
M = TypeVar("M", bound=Model)
JOURNALS = ".journals"  # beside the folders of the stages


def discard(metrics: Metrics, step: int) -> None:
    """The log of a job that nobody follows."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a stage is handed to do its work; it sees only what it declared.

    ``out`` is the unpublished folder: it survives a kill, and becomes the artifact when ``run``
    returns. ``inputs`` are the folders of the artifacts named by ``Stage.inputs``; ``groups``
    the config groups named by ``Stage.uses``. ``log`` sends metrics of one step to tracking.
    ``seed`` is the stage's own, ``top_seed`` that of the launch; null: the same.
    """

    out: Path
    inputs: Mapping[str, Path]
    groups: Mapping[str, Any]
    seed: int
    top_seed: int | None = None
    log: Callable[[Metrics, int], None] = discard

    @property
    def sample_seed(self) -> int:
        """What is drawn alike by all stages: which samples are looked at, and how ties go."""
        return self.seed if self.top_seed is None else self.top_seed

    @property
    def scratch(self) -> Path:
        """What a killed run goes on from; removed when the artifact is complete."""
        return self.out / SCRATCH

    @property
    def journal(self) -> Path:
        """A file of this artifact's own in a folder that all of a dataset share.

        What was answered at a cost is kept there, and found again by artifacts to come.
        """
        own = self.out.name.removeprefix(PARTIAL)
        return self.out.parents[1] / JOURNALS / f"{own}.jsonl"

    def group(self, kind: type[M]) -> M:
        """The one config group of this type among those that the stage declared."""
        return next(group for group in self.groups.values() if isinstance(group, kind))


class Stage(Model):
    """A stage is its config and one verb, ``run``."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the same knobs would give another result
    uses: ClassVar[tuple[str, ...]] = ()  # config groups that ``run`` reads
    needs_torch: ClassVar[bool] = False  # whether ``run`` loads it; a group that it uses may, too

    @property
    def label(self) -> str:
        """The name of the step in a plan, in logs and in metrics' keys."""
        return self.name

    @property
    def spreads(self) -> bool:
        """Whether several processes may carry ``run`` out together, each calling it (``ranks``)."""
        return False

    def inputs(self, config: "Config") -> "dict[str, Stage]":
        """The stages that this one stands on under this config, by the name it knows them by."""
        return {}

    def seed_of(self, config: "Config") -> int:
        """The seed of its random choices, which is part of its identity: the launch's own.

        A stage with a knob ``seed`` has that one where it is set.
        """
        own: int | None = getattr(self, "seed", None)
        return config.top.seed if own is None else own

    def effective(self, config: "Config") -> dict[str, Any]:
        """The knobs, of its own and of the groups it uses, that can change the result."""
        groups = {name: knobs_of(config.groups[name]) for name in self.uses}
        return {"knobs": self.knobs(), "groups": groups}

    def ready(self, config: "Config") -> None:
        """Refuse a build that could not be carried out, before anything below it is built.

        Raises:
            Refusal: what the stage would use is not there, or is not named.
        """

    def run(self, job: Job) -> Metrics:
        """Build into ``job.out``, going on from what a killed run left there.

        Returns:
            The final metrics, which the manifest keeps.
        """
        raise NotImplementedError

    def show(self, folder: Path) -> None:
        """Print the finished artifact to the terminal, where it is the goal."""
        print(folder)


def known(config: "Config") -> "dict[str, Stage]":
    """What is known of users and items: the records, and captions where prompts show them."""
    stages = config.stages
    captions = {"captions": stages["caption"]} if config.prompt.captions is True else {}
    return {"prepare": stages["prepare"], **captions}


def check_drawn(knob: str, wanted: Iterable[str], config: "Config") -> None:
    """Refuse protocols that ``prepare`` does not draw candidates for."""
    drawn = config.stages["prepare"].protocols
    for protocol in wanted:
        if protocol not in drawn:
            raise Refusal(
                f"{knob}: no candidates are drawn for {protocol}",
                allowed=f"prepare.protocols={drawn}",
                do=f"type one of these, or prepare.protocols=[{','.join([*drawn, protocol])}]",
            )


def knobs_of(group: Any) -> Any:
    """The effective knobs of one config group, or of each component of a named one."""
    if isinstance(group, Mapping):
        return {name: part.knobs() for name, part in sorted(group.items())}
    return group.knobs()
