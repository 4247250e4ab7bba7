"""A causal language model that exists: a folder on disk, or a name on a hub."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mllmrec.artifacts import digest, folder_files
from mllmrec.backbone.base import Backbone
from mllmrec.errors import Refusal

WANTED = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]  # never pickled weights

OTHERS = {"huggingface": ", or backbone.hub=modelscope", "modelscope": ""}


class Pretrained(Backbone):
    """A model by folder or hub name; a folder is identified by its content, a name by revision."""

    path: str
    revision: str | None
    hub: Literal["huggingface", "modelscope"]

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    @cached_property
    def content(self) -> str:
        return digest(folder_files(self.folder))

    def knobs(self) -> dict[str, Any]:
        knobs = super().knobs()
        if self.folder.is_dir():
            knobs.update(path=self.content, revision=None, hub=None)
        return knobs

    def fetch(self) -> Path:
        """The folder of the model.

        Raises:
            Refusal: there is neither such a folder nor such a model on the hub.
        """
        if self.folder.is_dir():
            return self.folder
        if self.folder.is_absolute() or self.path.startswith("."):
            raise Refusal(
                f"backbone.path={self.path}: no such folder",
                allowed="a folder with config.json, a tokenizer and *.safetensors, or a hub's name",
                do="type backbone.path=DIR",
            )
        try:
            return self.download()
        except ModuleNotFoundError as error:
            raise Refusal(
                f"backbone.hub={self.hub}: {error.name} is not installed",
                allowed="the client of the hub, or a folder",
                do=f"type pip install 'mllmrec[{self.hub}]', or backbone.path=DIR",
            ) from error
        except Exception as error:  # the hubs' clients raise kinds of their own, and httpx's
            raise Refusal(
                f"backbone.path={self.path}: not a folder, and {self.hub} gave none ({error})",
                allowed="a folder, or a model's name on the hub while it can be reached",
                do="type backbone.path=DIR" + OTHERS[self.hub],
            ) from error

    def download(self) -> Path:
        if self.hub == "modelscope":
            from modelscope import snapshot_download as from_modelscope

            return Path(from_modelscope(self.path, revision=self.revision, allow_patterns=WANTED))
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(self.path, revision=self.revision, allow_patterns=WANTED))
