"""The store that the pages read, opened again when something was added to it."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from pitboard import __version__
from pitboard.errors import PitboardError
from pitboard.results.store import Store, without_paths


class StoreHandle:
    """A store at `place` (`None` for the default one), as it is now. Any thread may ask.

    A `frozen` one stays the store as it was when it was opened. It shows `rounds` alone, if given.
    """

    def __init__(self, place: Path | None, *, frozen: bool = False, rounds: Sequence[str] = ()) -> None:
        self._place = place
        self._lock = Lock()
        self._store = Store(place, held=True, rounds=rounds)
        self._frozen = frozen
        self._rounds = rounds
        self._opened = self._store.version

    @property
    def version(self) -> str:
        """Name what a page would be made of, so that one rendered before an add is not served after it."""
        try:
            return f"{__version__}-{self._store.version}"
        except PitboardError:
            return f"{__version__}-damaged"  # the page itself says how

    @property
    def damage(self) -> str | None:
        """What is wrong with the user's own files, so that only the published rounds are shown."""
        damage = self._store.damage
        return damage and self.without_paths(damage)

    def without_paths(self, sentence: str) -> str:
        """Return a sentence in which no folder of the store or of the package is named."""
        return without_paths(sentence, self._store.place)

    def store(self) -> Store:
        """Give the open store. Raises `PitboardError` where it is damaged."""
        if self._frozen:
            return self._store
        version = self._store.version
        if version != self._opened:
            with self._lock:
                if version != self._opened:
                    self._store, self._opened = Store(self._place, held=True, rounds=self._rounds), version
        return self._store
