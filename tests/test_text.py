"""Whatever a file holds, what is shown of it prints and encodes, and a name has no path in it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pitboard.text import clean, encodable, file_name, masked, printable

_ANY = st.text(st.characters(codec=None))


@given(_ANY)
def test_no_text_reaches_a_terminal_or_a_page_unescaped(text: str) -> None:
    for shown in (printable(text), masked(text), clean(text)):
        assert shown.isprintable()
        assert shown.encode().decode() == shown
    assert encodable(text).encode().decode() == encodable(text)
    assert len(masked(text)) == len(text)
    assert len(clean(text, 7)) <= 7


@given(_ANY)
def test_a_file_name_has_no_path_in_it(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._+-]*", file_name(text))


def test_escapes_say_what_was_there() -> None:
    assert printable("\x1b[31mred\udc80\u202e é") == r"\x1b[31mred\udc80\u202e é"
    assert masked("a\x1bb") == "a�b"
    assert clean(" a\tb\u202ec ") == "a b c"
    assert file_name("Acme GmbH/Köln") == "Acme_GmbH_K_ln"
