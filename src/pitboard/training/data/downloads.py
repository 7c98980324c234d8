"""A benchmark's data: what to download, with MLCommons' own downloader, and in which folder it is."""

import os
import shlex
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pitboard.errors import PitboardError

_DOWNLOADER = "https://raw.githubusercontent.com/mlcommons/r2-downloader/refs/heads/main/mlc-r2-downloader.sh"


@dataclass(frozen=True)
class Download:
    """One download: what it is, its size and licence in words, its address, and its folder under the root.

    What MLCommons' downloader does not have is downloaded with `own_command`, in which `{folder}` stands for
    the folder and `{uri}` for the address.
    """

    what: str
    size: str
    licence: str
    uri: str
    folder: str
    own_command: str = ""

    def command(self, root: str) -> str:
        """Return the Bash command: of MLCommons' downloader, which checks MD5 sums and leaves them there."""
        folder = shlex.quote(f"{root}/{self.folder}".rstrip("/"))
        if self.own_command:
            return self.own_command.format(folder=folder, uri=self.uri)
        return f"bash <(curl -s {_DOWNLOADER}) -d {folder} {self.uri}"


@dataclass(frozen=True)
class HubDownload(Download):
    """A model's safetensors on Hugging Face; `uri` is the repository's address."""

    def command(self, root: str) -> str:
        """Return the command of Hugging Face's downloader (`pip install huggingface_hub`)."""
        folder = shlex.quote(f"{root}/{self.folder}".rstrip("/"))
        repository = self.uri.removeprefix("https://huggingface.co/")
        return f"hf download {repository} --include '*.safetensors*' --local-dir {folder}"


def downloads(benchmark: str) -> tuple[Download, ...] | None:
    """Return `DOWNLOADS` of the benchmark's `downloads.py`; `None` where Pitboard does not know its data."""
    name = f"pitboard.training.benchmarks.{benchmark}"
    try:
        module = import_module(f"{name}.downloads")
    except ModuleNotFoundError as error:
        if error.name not in (name, f"{name}.downloads"):
            raise
        return None
    found: tuple[Download, ...] = module.DOWNLOADS
    return found


def data_folder(benchmark: str) -> Path | None:
    """Return where the benchmark's data is by default, `$PITBOARD_DATA/<benchmark>`; `None` if not set."""
    root = os.environ.get("PITBOARD_DATA")
    return Path(root) / benchmark if root else None


def required_folder(
    benchmark: str, what: str, given: Path | None, *, setting: str = "data", inside: str = ""
) -> Path:
    """Return the folder that a setting names, else the default one, or its subfolder `inside`.

    Raises `PitboardError`, which calls the data `what`, where neither is given.
    """
    if given is not None:
        return given
    root = data_folder(benchmark)
    if root is None:
        raise PitboardError(
            f"The full preset reads {what}: give the folder with --set {setting}=DIR or $PITBOARD_DATA."
            f" `pitboard data {benchmark}` says what to download."
        )
    return root / inside
