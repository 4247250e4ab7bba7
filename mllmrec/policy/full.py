"""How a language model ranks the protocol ``full`` (``dataset.full``)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mllmrec.schema import Model


class Way(Model):
    """How a language model ranks the catalogue.

    ``exact`` scores every item, ``beam`` searches the most probable ones, so many at a time: what
    it does not find is missed. ``by`` says what is scored of an item: its marker ``[ITEM_id]``,
    which tells it from all others, or all of its answer, as among drawn candidates.
    """

    method: Literal["exact", "beam"]
    by: Literal["id", "answer"]
    beam: Annotated[int, Field(ge=1)]

    def knobs(self) -> dict[str, Any]:
        """Those that have an effect: a width is a beam's alone."""
        found = super().knobs()
        return found if self.method == "beam" else {k: v for k, v in found.items() if k != "beam"}
