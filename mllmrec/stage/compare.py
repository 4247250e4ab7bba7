"""Goal ``compare``: any set of runs side by side, as tables, a CSV and a page."""

import shlex
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from mllmrec import launches
from mllmrec.artifacts import Store
from mllmrec.comparison import chosen
from mllmrec.comparison.chosen import Named
from mllmrec.comparison.files import NAMES
from mllmrec.comparison.options import Name, Options
from mllmrec.comparison.pages import Study, part_of, write_study
from mllmrec.comparison.study import MANY
from mllmrec.comparison.terminal import print_comparison, print_study
from mllmrec.comparison.write import write
from mllmrec.errors import Refusal
from mllmrec.launches import Launch
from mllmrec.schema import Model
from mllmrec.stage.command import Asked, Command

WAYS = (
    "'+compare.runs={a: outputs/…, b: outputs/…}', compare.folders=[DIR], compare.sweep=NAME,"
    " compare.group=NAME or compare.ids=[ID,ID]"
)


def markdown_page(page: Path) -> Path:
    """A page is written as Markdown, and its pictures go into the folder of its bare name."""
    if page.suffix != ".md" or page.is_dir():
        raise ValueError(f"{page} is not a page of Markdown; name a file that ends in .md")
    return page


class StudyPage(Model):
    """``name``: the part of ``page`` that is written, and what its pictures' names begin with."""

    page: Annotated[Path, AfterValidator(markdown_page)] | None
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Compare(Options, Command):
    """Reads what launches have left, sample by sample where they ranked; builds nothing.

    ``runs`` are folders of launches by the names they are to go by. Others are found: in all
    ``folders`` and below, or else among those that the store has noted, all or those of a
    ``sweep``, a tracking ``group`` or with one of these ``ids``; where ``runs`` alone are named, no
    others. ``dataset`` keeps those on one dataset. The files go into ``out``, or the run folder of
    this launch; ``study`` says where tables and pictures of the algorithms are to stand besides.
    """

    runs: dict[Name, Path]
    folders: list[Path]
    sweep: Name | None
    group: Name | None
    ids: list[Name]
    dataset: Name | None
    title: Name | None
    out: Path | None
    study: StudyPage

    def execute(self, asked: Asked) -> None:
        found, notes = self.launches(asked.store)
        found = self.on_one_dataset(found)
        if len(found) < 2:
            raise Refusal(
                f"compare: {', '.join(found) or 'no run'}: nothing to compare",
                allowed="two launches of stage=evaluate or more",
                do=f"type {WAYS}",
            )
        if (page := self.study.page) and page.is_file():
            # Bad marks are refused before anything is compared.
            part_of(page.read_text(encoding="utf-8"), page, self.study.name)
        out = self.out or asked.folder
        data = write(
            found, self, out, store=asked.store, title=self.title or self.named(found), notes=notes
        )
        print_comparison(data)
        print_study(data["study"])
        print(f"page: {out / NAMES['page']}\ntable: {out / NAMES['table']}")
        if self.study.page:
            self.write_study(data["study"], self.study.page, asked)

    def write_study(self, study: Study | None, page: Path, asked: Asked) -> None:
        """Tables and pictures of the algorithms, into a page of Markdown."""
        if study is None:
            raise Refusal(
                f"compare.study.page={page}: none of these runs' GRPO looked at a probe"
                " and is still there",
                allowed=f"runs with grpo.probe, at most {MANY} algorithms",
                do="type compare.study.page=null, or other runs",
            )
        command = shlex.join(["python", "launch.py", *asked.overrides])
        for file in write_study(study, page, self.study.name, command):
            print(f"study: {file}")

    def launches(self, store: Store) -> tuple[Named, tuple[str, ...]]:
        """The launches by name, and what is to be said of those that were left out."""
        named = chosen.by_name(self.runs)
        if named and not (self.folders or self.sweep or self.group or self.ids):
            return named, ()
        found, notes = chosen.compared(self.found(store))
        mine = {launch.folder for launch in named.values()}
        others = [launch for launch in found if launch.folder not in mine]
        return named | (chosen.named(others) if others else {}), notes

    def found(self, store: Store) -> list[Launch]:
        """Those that all of what was asked for holds of."""
        for folder in self.folders:
            if not folder.is_dir():
                raise Refusal(
                    f"compare.folders: {folder}: no such folder",
                    allowed="folders that hold launches, at any depth",
                    do="type compare.folders=[outputs]",
                )
        found = launches.found(self.folders) if self.folders else chosen.known_to(store)
        if self.sweep:
            found = chosen.of_sweep(self.sweep, found)
        if self.group:
            found = chosen.of_group(self.group, found)
        return chosen.of_ids(self.ids, found) if self.ids else found

    def on_one_dataset(self, found: Named) -> Named:
        """Those on ``dataset``; refuses several, as ids in both may mean something else."""
        by: dict[str, list[str]] = {}
        for name, launch in found.items():
            by.setdefault(launch.told["config"]["dataset"]["_target_"].split(".")[-2], []).append(
                name
            )
        if self.dataset is not None:
            return {name: found[name] for name in by.get(self.dataset, [])}
        if len(by) > 1:
            told = "; ".join(f"{len(names)} on {one}, as {names[0]}" for one, names in by.items())
            raise Refusal(
                f"compare: runs of several datasets: {told}",
                allowed="runs on one dataset",
                do=f"type compare.dataset={next(iter(by))}, or other runs",
            )
        return found

    def named(self, found: Named) -> str:
        """What the page is called, unless it was told."""
        return self.sweep or self.group or f"{len(found)} runs"
