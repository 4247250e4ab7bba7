"""What came of the jobs of a multirun, as a table for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from mllmrec import launches
from mllmrec.errors import Refusal
from mllmrec.grid.jobs import Note
from mllmrec.launches import Launch
from mllmrec.report.tables import console

LIKED = ("ndcg@5", "reward", "loss", "confidence")  # of the metrics of a stage, where it has them
MOST = 3
LEAST, NARROW = 24, 100  # columns that the overrides of a job have at least; and of a terminal


def print_jobs(notes: Sequence[Note], folder: Path) -> None:
    """A row a job: what sets it apart, how it ended, what it built, and its goal's metrics."""
    out = console()
    found = {note.number: launch_of(note) for note in notes}
    varied = [word for word in words_of(notes) if not all(word in n.overrides for n in notes)]
    names = metrics([launch for launch in found.values() if launch])
    names = names if out.width > NARROW else names[:2]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("job", justify="right", no_wrap=True)
    longest = max((len(word) for word in varied), default=0)
    table.add_column("what sets it apart", overflow="fold", min_width=min(longest, LEAST))
    table.add_column("state", no_wrap=True)
    for name in ("seconds", "built", *short(names)):
        table.add_column(name, justify="right", no_wrap=True)
    for note in notes:
        launch = found[note.number]
        own = " ".join(word for word in note.overrides if word in varied)
        seconds = "" if note.seconds is None else f"{note.seconds:.0f}"
        columns = launch.columns if launch else {}
        numbers = [f"{columns[name]:.4f}" if name in columns else "" for name in names]
        table.add_row(
            str(note.number), escape(own), note.state, seconds, built(launch), *map(escape, numbers)
        )
    out.print(table)
    if names:
        out.print(escape(f"metrics: {', '.join(names)}"))
    out.print(escape(f"{len(notes)} jobs in {folder}"), soft_wrap=True)
    if (
        sum(launch is not None and launch.told["goal"] == "evaluate" for launch in found.values())
        > 1
    ):
        said = f"python launch.py stage=compare 'compare.folders=[{folder}]'"
        out.print(escape(f"compare them: {said}"), soft_wrap=True)


def launch_of(note: Note) -> Launch | None:
    """The launch of a job; a command or a plan leaves none."""
    try:
        return launches.read(note.folder)
    except Refusal:
        return None


def words_of(notes: Sequence[Note]) -> list[str]:
    return list(dict.fromkeys(word for note in notes for word in note.overrides))


def built(launch: Launch | None) -> str:
    """``3 of 9``: steps that this job built itself, of those that its goal stands on."""
    if launch is None:
        return ""
    steps = launch.told["steps"]
    return f"{sum(step['seconds'] is not None for step in steps)} of {len(steps)}"


def metrics(found: Sequence[Launch]) -> list[str]:
    """The few metrics that the table shows: of the policy that was trained last, or of the goal."""
    columns: dict[str, float] = {}
    for launch in found:
        columns |= launch.columns
    goals = {launch.told["goal"] for launch in found}
    if goals == {"evaluate"}:
        return of_evaluation(found[0].told["config"]["evaluate"], columns)
    if len(goals) != 1:
        return []
    (goal,) = goals
    own = [name for name in columns if name.startswith(f"{goal}/")]
    liked = [name for end in LIKED for name in own if name.endswith(f"/{end}")]
    return (liked or own)[:MOST]


def short(names: Sequence[str]) -> list[str]:
    """The ends of names, as long as it takes to tell them apart."""
    for parts in range(1, 9):
        ends = ["/".join(name.split("/")[-parts:]) for name in names]
        if len(set(ends)) == len(names):
            break
    return ends if names else []


def of_evaluation(knobs: Mapping[str, object], columns: Mapping[str, float]) -> list[str]:
    """HR and NDCG at ``compare_k`` of the last policy that has them, under the first protocol."""
    policies, protocols = knobs["policies"], knobs["protocols"]
    assert isinstance(policies, list) and isinstance(protocols, list)
    for policy in reversed(policies):
        for protocol in protocols:
            at = f"eval/{policy}/{protocol}"
            k = knobs["compare_k"]
            wanted = [f"{at}/ndcg@{k}", f"{at}/hr@{k}"]
            own = [name for name in wanted if name in columns]
            if own or (own := [name for name in columns if name.startswith(f"{at}/")][:2]):
                return own
    return []
