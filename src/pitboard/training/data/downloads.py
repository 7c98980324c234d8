"""How data is downloaded: with MLCommons' own downloader."""

import shlex
from dataclasses import dataclass

_DOWNLOADER = "https://raw.githubusercontent.com/mlcommons/r2-downloader/refs/heads/main/mlc-r2-downloader.sh"


@dataclass(frozen=True)
class Download:
    """One download: what it is, its size and licence in words, its address, and its folder under the root."""

    what: str
    size: str
    licence: str
    uri: str
    folder: str

    def command(self, root: str) -> str:
        """Return the Bash command of MLCommons' downloader, which checks MD5 sums and leaves them there."""
        folder = shlex.quote(f"{root}/{self.folder}".rstrip("/"))
        return f"bash <(curl -s {_DOWNLOADER}) -d {folder} {self.uri}"
