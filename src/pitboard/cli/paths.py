"""The paths that a command is given: several, patterns that the shell left as they are, standard input."""

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from pitboard.errors import PitboardError


def expanded(words: Sequence[str]) -> list[Path]:
    """Return the paths that words name: a pattern such as `runs/*.log` stands for what it matches, by name.

    Raises `PitboardError` for a pattern that matches nothing.
    """
    found: list[Path] = []
    for word in words:
        if has_magic(word) and not Path(word).exists():
            matching = sorted(glob(word, recursive=True))  # noqa: PTH207 (it may be absolute)
            if not matching:
                raise PitboardError(f"Nothing matches {word}: expected logs, or folders that hold logs.")
            found += map(Path, matching)
        else:
            found.append(Path(word))
    return list(dict.fromkeys(found))


def are_logs(paths: Sequence[Path]) -> bool:
    """Tell whether several files were named, each a log: they are checked together, each by itself."""
    from pitboard.compliance.archives import is_archive

    return len(paths) > 1 and all(path.is_file() and not is_archive(path) for path in paths)
