"""The store: identity from content, a manifest written last, atomic publishing, sizes and roots.

An artifact lives in ``<root>/<dataset>/<stage>/<id>/``; while it is built, in ``.partial-<id>/``
beside it. A folder is an artifact if and only if it holds a ``manifest.json``.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mllmrec.errors import Refusal

MANIFEST = "manifest.json"
REPORT = "report.json"  # beside the metrics; the manifest and tracking take it up
PARTIAL = ".partial-"
SCRATCH = ".scratch"  # within a partial folder: what a build needs to go on, and nobody after it
TIMES = "times.json"  # in the scratch, as no two builds have the same; the manifest takes it up


def digest(value: Any) -> str:
    """Sixteen hex digits of the SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file below a folder, by its path relative to it."""
    left_out = (folder / MANIFEST, folder / SCRATCH)
    paths = sorted(
        p for p in folder.rglob("*") if p.is_file() and not any(map(p.is_relative_to, left_out))
    )
    return {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": file_digest(p)}
        for p in paths
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the path holds the old text or the new one, also after a power cut."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_times(scratch: Path, times: Mapping[str, Any]) -> None:
    """Leave for the manifest what a build took, step by step: a column a name."""
    scratch.mkdir(parents=True, exist_ok=True)
    write_json(scratch / TIMES, times)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A published folder and what its manifest says."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise damaged(self, f"{MANIFEST} cannot be read ({error})") from error

    @property
    def is_readable(self) -> bool:
        """Whether the manifest can be read; where it is not needed, a damaged one is passed by."""
        try:
            return bool(self.manifest)
        except Refusal:
            return False

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def stage(self) -> str:
        return self.folder.parent.name

    @property
    def size(self) -> int:
        """Bytes of all files, by the manifest."""
        return sum(file["bytes"] for file in self.manifest["files"].values())

    def verify(self, *, thorough: bool) -> None:
        """Refuse an artifact whose files differ from its manifest: in size, or also in content."""
        for name, said in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise damaged(self, f"{name} is missing")
            if path.stat().st_size != said["bytes"]:
                raise damaged(self, f"{name} has {path.stat().st_size} bytes, not {said['bytes']}")
            if thorough and file_digest(path) != said["sha256"]:
                raise damaged(self, f"the content of {name} has changed")


def damaged(artifact: Artifact, how: str) -> Refusal:
    return Refusal(
        f"{artifact.folder}: damaged, {how}",
        allowed="an artifact is never changed after it was published",
        do=f"type force=[{artifact.stage}] to build it again",
    )


@dataclass(frozen=True, kw_only=True)
class Store:
    """All artifacts of one folder, the knob ``artifacts``."""

    root: Path

    def make_writable(self) -> None:
        """Create the folder and prove that it takes a file.

        Raises:
            Refusal: it cannot be written.
        """
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise Refusal(
                f"artifacts={self.root}: cannot be written ({error.strerror})",
                allowed="a folder that you may write to",
                do="type artifacts=DIR, or change its permissions",
            ) from error

    def folder(self, dataset: str, stage: str, id: str) -> Path:
        return self.root / dataset / stage / id

    def find(self, dataset: str, stage: str, id: str) -> Artifact | None:
        folder = self.folder(dataset, stage, id)
        return Artifact(folder=folder) if (folder / MANIFEST).is_file() else None

    def siblings(self, dataset: str, stage: str) -> list[Artifact]:
        """The artifacts of one stage, newest first."""
        folders = (self.root / dataset / stage).glob(f"[!.]*/{MANIFEST}")
        newest = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
        return [Artifact(folder=path.parent) for path in newest]

    def __iter__(self) -> Iterator[Artifact]:
        for path in sorted(self.root.glob(f"[!.]*/*/[!.]*/{MANIFEST}")):
            yield Artifact(folder=path.parent)

    def partials(self) -> list[Path]:
        """The unpublished folders that killed or running builds have left."""
        return sorted(self.root.glob(f"[!.]*/*/{PARTIAL}*"))


def partial_of(folder: Path) -> Path:
    return folder.with_name(PARTIAL + folder.name)


def publish(partial: Path, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
    """Turn a finished partial folder into an artifact: the manifest last, then one rename."""
    if (partial / REPORT).is_file():
        manifest = {**manifest, "report": json.loads((partial / REPORT).read_text())}
    if (times := partial / SCRATCH / TIMES).is_file():
        manifest = {**manifest, "times": json.loads(times.read_text())}
    write_json(partial / MANIFEST, {**manifest, "files": folder_files(partial)})
    return put_in_place(partial, folder)


def put_in_place(partial: Path, folder: Path) -> Artifact:
    """Rename a complete partial folder to its place, stepping aside an older artifact first.

    Only now, with the manifest written, does the scratch go. A kill anywhere in here leaves the
    complete new artifact, which the repeated command puts in place by this very function.
    """
    shutil.rmtree(partial / SCRATCH, ignore_errors=True)
    older = folder.with_name(f".old-{folder.name}")
    if folder.exists():
        shutil.rmtree(older, ignore_errors=True)
        folder.rename(older)
    partial.rename(folder)
    shutil.rmtree(older, ignore_errors=True)
    return Artifact(folder=folder)
