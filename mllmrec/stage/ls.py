"""Goal ``ls``: what the store holds, how large it is, and what uses it."""

from collections import defaultdict

from rich import box
from rich.table import Table

from mllmrec import roots
from mllmrec.report.tables import console, human
from mllmrec.stage.command import Asked, Command

WIDE = ("dataset", "stage", "id", "size", "built", "seconds", "used by", "runs")
NARROW = ("stage", "id", "size", "day", "used", "runs")
ENOUGH = 130  # columns of a terminal on which the wide table can be read


class Ls(Command):
    """A row an artifact: its size, what was built on it, and how many run folders stand on it."""

    def execute(self, asked: Asked) -> None:
        store = asked.store
        artifacts = [artifact for artifact in store if artifact.is_readable]
        used: dict[str, list[str]] = defaultdict(list)
        for artifact in artifacts:
            for id in artifact.manifest["identity"]["inputs"].values():
                used[id].append(f"{artifact.manifest['label']} {artifact.id}")
        runs = roots.users(store)
        out = console()
        is_wide = out.width >= ENOUGH
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1) if is_wide else (0, 0), pad_edge=is_wide)
        for name in WIDE if is_wide else NARROW:
            table.add_column(name, no_wrap=name not in ("stage", "used by"))
        datasets = {artifact.folder.parent.parent.name for artifact in artifacts}
        for artifact in artifacts:
            said, users = artifact.manifest, used[artifact.id]
            dataset, label = artifact.folder.parent.parent.name, said["label"]
            row = {
                "dataset": dataset,
                "stage": label if is_wide or len(datasets) == 1 else f"{dataset} {label}",
                "id": artifact.id,
                "size": human(artifact.size),
                "built": said["began"][:16].replace("T", " "),
                "day": said["began"][:10],
                "seconds": f"{said['seconds']:.0f}",
                "used by": ", ".join(users),
                "used": str(len(users)),
                "runs": str(len(runs.get(artifact.id, []))),
            }
            table.add_row(*(row[str(column.header)] for column in table.columns))
        out.print(table)
        if not is_wide:
            out.print(f"(from {ENOUGH} columns on: dataset, time, seconds and names of users too)")
        total = sum(artifact.size for artifact in artifacts)
        out.print(f"{len(artifacts)} artifacts, {human(total)}, in {store.root}", soft_wrap=True)
        for artifact in store:
            if not artifact.is_readable:
                out.print(f"damaged: {artifact.folder.relative_to(store.root)}")
        for partial in store.partials():
            out.print(f"unfinished: {partial.relative_to(store.root)}")
