"""The grammar of a sweep's file: the part of W&B's that runs here and on its servers alike."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]

BEGINNING = ("${env}", "${interpreter}", "${program}")
ARGS = "${args_no_hyphens}"
SEEDS = ("seed", "grpo.seed")  # several values of such a parameter are averaged over


class Part(BaseModel):
    """A piece of the file: unknown keys are refused. What may be left out is W&B's to say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Constant(Part):
    """The same value at every point."""

    value: Value
    distribution: Literal["constant"] = "constant"


class Categorical(Part):
    """One of these values."""

    values: Annotated[list[Value], Field(min_length=1)]
    distribution: Literal["categorical"] = "categorical"


Shape = Literal["uniform", "int_uniform", "q_uniform", "log_uniform_values"]


class Between(Part):
    """A number from ``min`` to ``max``: whole where both are, unless ``distribution`` says."""

    min: int | float
    max: int | float
    q: Annotated[float, Field(gt=0)] | None = None
    distribution: Shape | None = None

    @property
    def shape(self) -> Shape:
        if self.distribution:
            return self.distribution
        is_whole = isinstance(self.min, int) and isinstance(self.max, int)
        return "int_uniform" if is_whole else "uniform"


def form_of(node: Any) -> str:
    """Which form of a parameter its keys say that it is."""
    keys = node if isinstance(node, Mapping) else type(node).model_fields
    return "value" if "value" in keys else "values" if "values" in keys else "min"


Parameter = Annotated[
    Annotated[Constant, Tag("value")]
    | Annotated[Categorical, Tag("values")]
    | Annotated[Between, Tag("min")],
    Discriminator(form_of),
]


class Metric(Part):
    """What is looked for: a column of ``run.json``, which are those of W&B's summary."""

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None


class Hyperband(Part):
    """W&B's early termination: points that are behind at a band of looks are stopped."""

    type: Literal["hyperband"]
    min_iter: Annotated[int, Field(ge=1)] | None = None
    max_iter: Annotated[int, Field(ge=1)] | None = None
    s: Annotated[int, Field(ge=1)] | None = None
    eta: Annotated[float, Field(gt=1)] = 3
    strict: bool = True


class Grammar(Part):
    """A whole file."""

    program: str
    command: list[str]
    method: Literal["grid", "random", "bayes"]
    metric: Metric
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]
    name: str | None = None
    description: str | None = None
    project: str | None = None
    entity: str | None = None
    run_cap: Annotated[int, Field(ge=1)] | None = None
    early_terminate: Hyperband | None = None
    apiVersion: str | None = None
    kind: Literal["sweep"] | None = None

    @property
    def seed(self) -> str:
        """The parameter that is averaged over."""
        return next((name for name in SEEDS if name in self.parameters), SEEDS[0])

    @property
    def seeds(self) -> list[int]:
        """The seeds that every point is run with; none: the file does not vary it."""
        asked = self.parameters.get(self.seed)
        values = asked.values if isinstance(asked, Categorical) else []
        values = [asked.value] if isinstance(asked, Constant) else values
        return list(dict.fromkeys(int(str(one)) for one in values))

    @property
    def words(self) -> list[str]:
        """The overrides that the command has beside those of the point."""
        return [word for word in self.command if word not in (*BEGINNING, ARGS)]

    @property
    def is_search(self) -> bool:
        """Whether points are chosen one after the other, by what the others gave."""
        return self.method != "grid"
