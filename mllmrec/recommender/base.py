"""What every trained recommender has: how it is fitted, and how its settings are chosen."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from mllmrec.schema import Model

if TYPE_CHECKING:
    from mllmrec.recommender.networks import Network

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Scalar = bool | int | float | str | None


class Range(Model):
    """Values from ``low`` to ``high``, both included; whole if the knob is; ``log``: by ratio."""

    low: int | float
    high: int | float
    log: bool

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("must hold: low < high, and 0 < low where log=true")
        return self


class Tune(Model):
    """A search for settings: how many are tried, within how many minutes, and which."""

    trials: Annotated[int, Field(ge=0)]
    minutes: Annotated[float, Field(gt=0)] | None
    space: dict[str, list[Scalar] | Range]

    @field_validator("space")
    @classmethod
    def _in_one_order(
        cls, space: dict[str, list[Scalar] | Range]
    ) -> dict[str, list[Scalar] | Range]:
        """By name: what is tried must not hang on an order that the artifact's id knows not of."""
        return dict(sorted(space.items()))


NO_SEARCH: dict[str, Any] = {"trials": 0, "minutes": None, "space": {}}


class Recommender(Model):
    """A network that scores the whole catalogue after a history, fitted to training sequences.

    It sees as many of a history's last items as samples have (``prepare.history_length``).
    """

    fixed: ClassVar[frozenset[str]] = frozenset({"tune", "validate_every", "validation_samples"})

    hidden_size: Positive
    dropout: Share
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Positive
    stride: Positive | None
    max_epochs: Positive
    patience: Positive
    validate_every: Positive | None
    validation_samples: Positive | None
    tune: Tune

    @property
    def name(self) -> str:
        """That of its file, by which it is chosen."""
        return type(self).__module__.rpartition(".")[2]

    def network(self, items: int, history_length: int) -> "Network":
        """The untrained network over a catalogue of so many items."""
        raise NotImplementedError

    def knobs(self) -> dict[str, Any]:
        """Without a search that makes no trials."""
        found = super().knobs()
        if not self.tune.trials:
            del found["tune"]
        return found

    def settings(self) -> dict[str, Any]:
        """The values of all knobs but the search."""
        return self.model_dump(mode="json", exclude={"tune"})

    def at(self, values: dict[str, Any]) -> Self:
        """The same with other values of some knobs."""
        return type(self).model_validate({**self.settings(), **values, "tune": NO_SEARCH})

    @model_validator(mode="after")
    def _space_is_of_knobs(self) -> Self:
        """Each knob of the space is one, and takes its values, alone and with one of another."""
        known = sorted(type(self).model_fields.keys() - self.fixed)
        if unknown := sorted(self.tune.space.keys() - set(known)):
            raise ValueError(f"tune.space: unknown knobs {unknown}, known: {', '.join(known)}")
        if self.tune.trials and not self.tune.space:
            raise ValueError("tune.space is empty, and tune.trials is not 0")
        for values in pairs(self.tune.space):
            try:
                self.at(values)
            except ValidationError as error:
                fault = error.errors()[0]
                raise ValueError(f"tune.space, at {values}: {fault['msg']}") from error
        return self


def pairs(space: dict[str, list[Scalar] | Range]) -> Iterator[dict[str, Scalar]]:
    """Each knob at each of its values, or at the ends of its range; and each two knobs together."""
    ends = {
        name: among if isinstance(among, list) else [among.low, among.high]
        for name, among in space.items()
    }
    for name, values in ends.items():
        yield from ({name: value} for value in values)
    for first, second in combinations(ends, 2):
        yield from ({first: a, second: b} for a, b in product(ends[first], ends[second]))


class Attentive(Recommender):
    """What networks of blocks of attention share; each head is ``hidden_size / heads`` wide."""

    blocks: Positive
    heads: Positive
    inner_size: Positive

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"must hold: heads divide hidden_size, not {self.heads} and {self.hidden_size}"
            )
        return self
