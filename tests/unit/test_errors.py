"""What errors say."""

import pytest

from experiment_features.errors import DropRefused, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("users.csv", "users.csv"),
        ("Zoë 実験 50%\\", "Zoë 実験 50%\\"),
        ("a\nERROR forged", "a\\nERROR forged"),
        ("\x1b[31mred\x07\x9b", "\\x1b[31mred\\x07\\x9b"),
        ("no\xa0break\u200bzero\ufeff\u202ebidi", "no\\xa0break\\u200bzero\\ufeff\\u202ebidi"),
        ("bytes \udcff", "bytes \\udcff"),
        ("x" * 201, "x" * 133 + "..." + "x" * 66),
    ],
    ids=["plain", "printable", "line", "terminal", "invisible", "bytes", "long"],
)
def test_what_others_name_is_shown_safely(text: str, expected: str) -> None:
    """Nothing that a terminal obeys, that forges a log line or that nobody sees gets through."""
    assert shown(text) == expected


def test_a_message_is_one_line() -> None:
    """Whatever a message quotes, it cannot pretend to be another message."""
    error = DropRefused("users.csv has no column 'a\n2026-01-01 INFO loaded\x1b[2J'")
    assert str(error) == "users.csv has no column 'a\\n2026-01-01 INFO loaded\\x1b[2J'"
