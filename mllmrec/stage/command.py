"""What has no artifact: a goal that looks at the store or cleans it."""

from mllmrec.artifacts import Store
from mllmrec.schema import Model


class Command(Model):
    """A goal that is carried out at once."""

    def execute(self, store: Store, *, yes: bool) -> None:
        """Do it; ``yes`` answers its questions."""
        raise NotImplementedError
