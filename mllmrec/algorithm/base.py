"""What is optimised: the parts of a method of the GRPO family, and their composition.

A step goes: rollout → reward → group rewards → groups → advantage → shaping → batch → token
weights → policy loss + auxiliary losses. Each part is a small model in a folder of its own, with
its formula; ``conf/algorithm/`` composes them. No part imports torch but within its functions.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mllmrec.algorithm import compatibility
from mllmrec.algorithm.batch import Batch, Context, Rows, Sample, Terms, Tokens
from mllmrec.errors import Refusal
from mllmrec.schema import Model

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.schema import Config

Constraint = Literal["token", "sequence"]
Place = tuple[Literal["first", "last"], str]
State = dict[str, Any]  # what a part remembers: JSON, as it goes into every checkpoint


class Rollout(Model):
    """How the answers of a group come about; the drawing itself is in ``training/rollouts.py``.

    ``constraint`` is what holds answers to the candidates: each token to those that lead on to
    one (``token``), or whole answers to those that are one (``sequence``, q ∝ π(answer)); None is
    the rollout's own (``held``). ``temperature`` is that of the policy in the loss too.
    """

    constraint: Constraint | None
    temperature: float

    @property
    def draws_candidates(self) -> bool:
        """Whether rollouts are draws among the candidates by their probabilities.

        Only then can their reward be held against the expected one of the probe.
        """
        return False

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @property
    def held(self) -> Constraint | None:
        """What holds answers to the candidates; None: nothing does."""
        return self.constraint

    def knobs(self) -> dict[str, Any]:
        return {**super().knobs(), "constraint": self.held}  # null is one of the others


class GroupReward(Model):
    """A reward that looks at a whole group; added, times ``weight``, to those of ``reward=``."""

    weight: Annotated[float, Field(gt=0)]

    def __call__(self, batch: Batch) -> "Tensor":
        """The unweighted pay-off of each row, (B,)."""
        raise NotImplementedError


class Group(Model):
    """Changes which rows are in the groups, before advantages are taken.

    ``draws_more``: whether it may ask for other prompts (``Context.more``). ``place``: where it has
    to stand among several, and why.
    """

    draws_more: ClassVar[bool] = False
    place: ClassVar[Place | None] = None

    def check(self, config: "Config") -> None:
        if self.place is None:
            return
        where, why = self.place
        names = list(config.algorithm.group)
        own = next(name for name, part in config.algorithm.group.items() if part is self)
        others = [name for name in names if name != own]
        order = [own, *others] if where == "first" else [*others, own]
        if names != order:
            raise Refusal(
                f"algorithm/group=[{','.join(names)}]: {own} {why.format(others=others[0])}",
                allowed=f"{own} as the {where} of them",
                do=f"type 'algorithm/group=[{','.join(order)}]'",
            )

    def drawn(self, wanted: int) -> int:
        """How many rollouts of a prompt are to be drawn where ``wanted`` are to be left."""
        return wanted

    def __call__(self, batch: Batch) -> Batch:
        raise NotImplementedError


class Advantage(Model):
    """How good a row is beside the others."""

    def __call__(self, batch: Batch) -> "Tensor":
        """(B,), or (B, T) by token; without gradients."""
        raise NotImplementedError

    def trl(self) -> dict[str, Any]:
        """The fields of TRL's GRPOConfig that give this advantage, where TRL has it."""
        return {}


class Shaping(Model):
    """Changes advantages by what is known of prompts and items."""

    def __call__(self, batch: Batch, state: State) -> "Tensor":
        """The new advantages, as large as ``batch.advantages``; may change ``state`` in place."""
        raise NotImplementedError


class Rebatch(Model):
    """Changes which rows a step learns from, once advantages are known: they are not taken anew."""

    def __call__(self, batch: Batch) -> Batch:
        raise NotImplementedError


class TokenWeight(Model):
    """How much each token of a completion counts in the policy loss and in auxiliary losses."""

    def __call__(self, tokens: Tokens, sample: Sample, context: Context) -> Sequence[float]:
        """A weight a token, from 0."""
        raise NotImplementedError


class Kl(Model):
    """The KL term that ``grpo.beta`` weighs, and the reference that it is taken against."""

    def __call__(self, rows: Rows) -> "Tensor":
        """An estimate by token, (N, T), with gradients."""
        raise NotImplementedError

    def trl(self) -> dict[str, Any]:
        """The fields of TRL's GRPOConfig that give this term, where TRL has it."""
        return {}


class PolicyLoss(Model):
    """The loss of the rollouts, with its KL term."""

    @property
    def needs_reference(self) -> bool:
        """Whether it looks at the reference's scores, whatever β is."""
        return False

    def __call__(self, terms: Terms) -> "Tensor":
        """A scalar with gradients."""
        raise NotImplementedError

    def trl(self) -> dict[str, Any] | None:
        """The fields of TRL's GRPOConfig that give this loss; None where TRL has none such."""
        return None


class Auxiliary(Model):
    """A loss beside the policy's, of rows and of other completions; added times ``weight``."""

    weight: Annotated[float, Field(gt=0)]

    @property
    def needs_reference(self) -> bool:
        """Whether it looks at the reference's scores, whatever β is."""
        return False

    def others(self, batch: Batch) -> Sequence[tuple[int, Tokens]]:
        """Completions beside the rows that it wants scored: of which prompt, and their tokens."""
        return ()

    def __call__(self, terms: Terms, others: Rows | None) -> "Tensor":
        """A scalar with gradients; ``others`` are those it asked for, None where it asked none."""
        raise NotImplementedError


NAMED_PARTS = ("group_reward", "group", "shaping", "rebatch", "auxiliary")  # several, by name


class Algorithm(Model):
    """A method: its parts; the stage ``grpo`` says with what effort it is run."""

    rollout: Rollout
    group_reward: dict[str, GroupReward]
    group: dict[str, Group]
    advantage: Advantage
    shaping: dict[str, Shaping]
    rebatch: dict[str, Rebatch]
    token_weight: TokenWeight
    kl: Kl
    policy: PolicyLoss
    auxiliary: dict[str, Auxiliary]

    @model_validator(mode="before")
    @classmethod
    def filled(cls, data: Any) -> Any:
        """Kinds of which nothing is chosen: ``algorithm/group=[]`` leaves no key in the config."""
        return {**{kind: {} for kind in NAMED_PARTS}, **data} if isinstance(data, dict) else data

    @property
    def parts(self) -> dict[str, Model]:
        """All parts by their path, in the order of a step."""
        found: dict[str, Model] = {}
        for name in type(self).model_fields:
            part = getattr(self, name)
            named = part if isinstance(part, Mapping) else None
            found |= {name: part} if named is None else {f"{name}.{n}": p for n, p in named.items()}
        return found

    @property
    def needs_reference(self) -> bool:
        """Whether a part other than the KL term looks at the reference's scores."""
        others = any(part.needs_reference for part in self.auxiliary.values())
        return self.policy.needs_reference or others

    def knobs(self) -> dict[str, Any]:
        """Of every part, in order: that of two group parts can change the result."""
        return {"parts": [[path, part.knobs()] for path, part in self.parts.items()]}

    def trainer_args(self, *, vllm: bool) -> dict[str, Any]:
        """The fields of TRL's GRPOConfig for its own sampling; with vLLM for its loss too."""
        sampling = {"temperature": self.rollout.temperature, "top_k": 0}
        sampling["top_p"] = getattr(self.rollout, "top_p", 1.0)
        # the published stack's KL term; TRL's newer default multiplies it by the ratio
        known = {**sampling, "use_bias_correction_kl": False}
        if not vllm:
            return known
        return {**known, **(self.policy.trl() or {}), **self.advantage.trl(), **self.kl.trl()}

    def check(self, config: "Config") -> None:
        """Refuse parts that do not go together, and those that would have no effect."""
        compatibility.check(self, config)
        for part in self.parts.values():
            part.check(config)
