"""Goal ``ls``: what the store holds, how large it is, and what uses it."""

from collections import defaultdict

from rich import box
from rich.table import Table

from mllmrec import roots
from mllmrec.report.tables import console, human
from mllmrec.stage.command import Asked, Command


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
        columns = ("dataset", "stage", "id", "size", "built", "seconds", "used by", "runs")
        table = Table(*columns, box=box.SIMPLE_HEAD)
        for artifact in artifacts:
            said = artifact.manifest
            table.add_row(
                artifact.folder.parent.parent.name,
                said["label"],
                artifact.id,
                human(artifact.size),
                said["began"][:16].replace("T", " "),
                f"{said['seconds']:.0f}",
                ", ".join(used[artifact.id]),
                str(len(runs.get(artifact.id, []))),
            )
        console().print(table)
        total = sum(artifact.size for artifact in artifacts)
        console().print(f"{len(artifacts)} artifacts, {human(total)}, in {store.root}")
        for artifact in store:
            if not artifact.is_readable:
                console().print(f"damaged: {artifact.folder.relative_to(store.root)}")
        for partial in store.partials():
            console().print(f"unfinished: {partial.relative_to(store.root)}")
