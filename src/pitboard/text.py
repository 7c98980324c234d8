"""Text that was read from files, made safe for a terminal, a page or a file name."""

import re


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: half a character, as JSON's `\ud800` spells one, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Return a text with escapes for what does not print: it cannot move a cursor or change a colour."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in encodable(text)
    )


def masked(text: str) -> str:
    """Return a text of the same length, with "�" for what does not print: a table's columns stay in line."""
    return "".join(char if char.isprintable() else "�" for char in text)


def clean(text: object, limit: int = 60) -> str:
    """Return one line of at most `limit` characters, the last of them "…" where it was cut.

    What does not print becomes a space: SVG has no place for control characters, nor a chart for the Unicode
    marks that turn the direction of text.
    """
    kept = "".join(char if char.isprintable() else " " for char in str(text))
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def file_name(text: str) -> str:
    """Return a text that can name a file or a folder anywhere: "_" for all but letters, digits and `._+-`."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text)
