"""Text for messages: everything in it is visible, and it controls no terminal."""

import sys
import unicodedata

from experiment_features.errors import DropRefused
from experiment_features.visible_text import shown


def test_what_nobody_sees_is_escaped() -> None:
    """Controls, odd blanks, marks and halves of characters; all else stays as it is."""
    assert (
        shown("a\u200b\u00a0\ufeff\u202e\x1b\n\0\udcff")
        == r"a\u200b\xa0\ufeff\u202e\x1b\n\x00\udcff"
    )
    for text in (
        "Ann Lee",
        "de la Cruz, Sofía",
        "李小红",
        "עברית",
        "e\u0301",
        "ﬁ",
        r"\u200b",
        "👩",
    ):
        assert shown(text) == text


def test_a_long_text_is_cut() -> None:
    """And says so."""
    assert shown("x" * 60) == "x" * 60
    assert shown("x" * 61) == "x" * 60 + "…"


def test_no_control_and_no_blank_is_forgotten() -> None:
    """Of all characters that there are; the blank itself is one that people expect."""
    for sign in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(sign) in ("Cc", "Cs", "Zs", "Zl", "Zp") and sign != " ":
            assert shown(sign).startswith("\\"), hex(ord(sign))


def test_a_refusal_cannot_forge_a_line_or_steer_a_terminal() -> None:
    """Names of files may hold anything; a message is one line."""
    assert str(DropRefused("a\x1b[31m\u202e.csv is wrong:\nexpected b")) == (
        "a\\x1b[31m\\u202e.csv is wrong:\\nexpected b"
    )


def test_no_name_fills_a_message() -> None:
    """Whatever it is the name of; other words stay."""
    message = str(DropRefused(f"the source {'x' * 5000} is not there"))
    assert message == f"the source {'x' * 500}… is not there"
