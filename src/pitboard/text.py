"""Text that was read from files, made safe for a terminal, a page or a file name."""

import re
import sys


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: half a character, as JSON's `\ud800` spells one, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Return a text with escapes for what does not print: it cannot move a cursor or change a colour."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in encodable(text)
    )


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def fits_json(number: int) -> bool:
    """Tell whether an integer has at most the 64 bits that readers and writers of JSON take."""
    return -(2**63) <= number < 2**64


def json_text(document: object) -> str:
    """Return a document as indented JSON that can be printed anywhere, as `printable_json` has it."""
    import msgspec

    return printable_json(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def printable_json(text: str) -> str:
    """Return JSON of the same meaning, in which what does not print is spelt out.

    A terminal that shows it sees no control character and no mark that turns text around; standard output
    that cannot hold all of Unicode is given ASCII.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    anything = (getattr(sys.stdout, "encoding", None) or "utf-8").casefold().startswith("utf")
    # Outside of strings JSON is ASCII.
    return "".join(
        char if char == "\n" or (char.isprintable() and (anything or char.isascii())) else _spelt(char)
        for char in text
    )


def _spelt(char: str) -> str:
    code = char.encode("utf-16-be").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))


def masked(text: str) -> str:
    """Return a text of the same length, with "�" for what does not print: a table's columns stay in line."""
    return "".join(char if char.isprintable() else "�" for char in text)


def in_markdown(text: str) -> str:
    """Return one line of text in which nothing is a mark of Markdown, a tag or a mention of somebody."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


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
