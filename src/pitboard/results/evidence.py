"""Where a sentence comes from: the question that shows it, as a command to type and as an address to open."""

from typing import NamedTuple
from urllib.parse import urlencode


class Evidence(NamedTuple):
    """A question with its options, as strings or numbers by name."""

    question: str
    options: dict[str, object]

    @property
    def command(self) -> str:
        """The command that asks it: `pitboard results roster --round 5.1`."""
        flags = "".join(f" --{name.replace('_', '-')} {value}" for name, value in self.options.items())
        return f"pitboard results {self.question}{flags}"

    @property
    def address(self) -> str:
        """The address of the page that asks it, from the site's root."""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"/questions/{self.question}{query}"
