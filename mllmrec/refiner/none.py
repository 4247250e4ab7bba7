"""Drafts stay as they were written."""

from mllmrec.refiner.base import Refiner


class Unrefined(Refiner):
    """No refinement: the stage is passed over, and what stands on it stands on the drafts."""

    @property
    def is_active(self) -> bool:
        return False
