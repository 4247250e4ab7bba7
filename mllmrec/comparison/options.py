"""What a comparison is asked to tell."""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field

from mllmrec.schema import Model

METRIC = r"^((hr|ndcg)@[1-9]\d*|mrr)$"
CASES = 10  # the most runs whose rankings are kept sample by sample


def typed(name: Any) -> Any:
    """A name that looks like a number comes from the command line as one."""
    if type(name) is float:  # 12e45678 has become infinity, and 1e5 is 100000.0
        raise ValueError(f"{name} was read as a number; put the name in quotes, as '\"12e45678\"'")
    return str(name) if type(name) is int else name


Name = Annotated[str, BeforeValidator(typed)]


class Options(Model):
    """What is measured of every run, and what is told in more detail of some.

    ``policies`` and ``k`` are what the table has, ``metrics`` what is tested and told by segment.
    ``primary`` is the value that runs are put in order by, ``reference`` the run that all others
    are held against: null takes the last policy, the first protocol and the last metric that are
    there, and the first run. ``cases`` are the runs whose rankings are kept for ``samples``
    samples; null keeps those of the reference and of the best.
    """

    policies: Annotated[list[str], Field(min_length=1)]
    k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    metrics: Annotated[list[Annotated[str, Field(pattern=METRIC)]], Field(min_length=1)]
    primary: Annotated[str, Field(pattern=r"^[^/]+/[^/]+/[^/]+$")] | None
    reference: Name | None
    cases: Annotated[list[Name], Field(max_length=CASES)] | None
    samples: Annotated[int, Field(ge=0)]
    seed: int

    @property
    def every_policy(self) -> list[str]:
        """The policies, and the primary value's own."""
        own = [self.primary.split("/")[0]] if self.primary else []
        return list(dict.fromkeys([*self.policies, *own]))

    @property
    def tested(self) -> list[str]:
        """The metrics that are tested and told by segment, the primary value's own among them."""
        own = [self.primary.split("/")[2]] if self.primary else []
        return list(dict.fromkeys([*self.metrics, *own]))

    @classmethod
    def standard(cls, conf: Path, **more: Any) -> Self:
        """Those of ``conf/stage/compare.yaml``, but for what is named here; ``seed`` is needed."""
        text = (conf / "stage" / "compare.yaml").read_text(encoding="utf-8")
        known = {k: v for k, v in yaml.safe_load(text)["compare"].items() if k in cls.model_fields}
        return cls.model_validate({**known, **more})
