"""Writers as their files set them, on models that only note what they are asked."""

from typing import Any

import yaml

from mllmrec.asking import Reply
from mllmrec.cases import Case, Shown
from mllmrec.schema import Words, component
from tests.launching import CONF

WORDS = Words(noun="film", nouns="films", verb="watched")
FOUR = "Step 1: dramas\nStep 2: teal\nStep 3: circles\nStep 4: a drama in teal"


def spying(kind: type) -> type:
    """The same kind of model; ``said`` gives its replies, and ``asked`` gathers the requests."""

    class Spy(kind):  # type: ignore[misc, valid-type]
        def ask(self, requests, journal, label, fault):
            ASKED.extend(requests)
            replies = [SAID.get(request.id, FOUR) for request in requests]
            return [
                Reply(id=request.id, why=fault(text))
                if fault(text)
                else Reply(id=request.id, text=text)
                for request, text in zip(requests, replies, strict=True)
            ]

    return Spy


ASKED: list[Any] = []
SAID: dict[str, str] = {}


def configured(group: str, choice: str, **knobs: Any) -> Any:
    """The component of ``conf/GROUP/CHOICE.yaml`` itself."""
    node = yaml.safe_load((CONF / group / f"{choice}.yaml").read_text())
    return component({**node, **knobs}, group, group)


def writer(group: str, choice: str, **knobs: Any) -> Any:
    """The component of that file, its model a spy: what it said and was asked is forgotten."""
    ASKED.clear()
    SAID.clear()
    made = configured(group, choice, **knobs)
    nested = "model" if hasattr(made, "model") else "endpoint"
    part = getattr(made, nested)
    spy = spying(type(part)).model_construct(**dict(part))
    return made.model_copy(update={nested: spy})


def shown(id: str, caption: str | None = None, **more: Any) -> Shown:
    known = {"title": f"Title {id}", "genres": ("Drama",), "picture": None, **more}
    return Shown(item_id=f"id{id}", caption=caption, **known)


def case(*history: Shown, target: Shown | None = None, id: str = "s1") -> Case:
    return Case(sample_id=id, history=history, target=target)
