"""Which run is begun next, so that none sits and waits for what another one is building."""

from collections.abc import Iterable, Sequence

from mllmrec.sweep.points import Need, Run


class Missing:
    """What runs still have to build; what was seen built once is not looked for again."""

    def __init__(self) -> None:
        self.built: set[str] = set()

    def of(self, run: Run) -> list[Need]:
        """A run's missing artifacts, in the order in which it builds them."""
        found = []
        for need in run.needs:
            if need.id not in self.built and need.is_built:
                self.built.add(need.id)
            if need.id not in self.built:
                found.append(need)
        return found

    def ready(self, run: Run) -> list[Need]:
        """Those of them that stand on nothing that is missing."""
        left = self.of(run)
        ids = {need.id for need in left}
        return [need for need in left if ids.isdisjoint(need.inputs)]


def next_of(waiting: Sequence[Run], running: Iterable[Run], missing: Missing) -> Run | None:
    """The waiting run that has most to build which no running one stands on.

    A run of which all that could be built at this moment is being built would hold a place and do
    nothing: it is left to wait, unless it lacks nothing. A running one that has taken no lock yet
    is about to take that of the first artifact it can build. Of equals the lowest number comes
    first; so the runs with most to build come early, and short ones fill the end.
    """
    running = list(running)
    shared = {need.id for run in running for need in missing.of(run)}
    soon = {need.id for run in running for need in missing.ready(run)[:1]}
    best, most = None, -1
    for run in waiting:
        left = missing.of(run)
        own = sum(need.id not in shared for need in left)
        free = [n for n in missing.ready(run) if n.id not in soon and not n.is_being_built]
        if (free or not left) and own > most:
            best, most = run, own
    return best
