"""Text in which every character can be seen, for messages."""

import re

INVISIBLE = (
    "\x01-\x1f\x7f-\xa0\xad"  # not NUL: a row that holds one has a rule of its own
    "\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Invisible characters except the blank: controls, other blanks, and characters that only direct
the text around them. For a class of a regular expression; the characters themselves, because every
engine's expressions know these. After Unicode: the categories Cc and Z, and
Default_Ignorable_Code_Point."""

_ESCAPED = re.compile(f"[\0\ud800-\udfff{INVISIBLE}]")
_LONG = re.compile(r"(\S{500})\S+")


_MOST_SHOWN = 60


def shown(text: str) -> str:
    r"""The text with escapes such as ``\u200b`` for invisible characters, cut if it is long."""
    return escape(text[:_MOST_SHOWN]) + "…" * (len(text) > _MOST_SHOWN)


def shorten(message: str) -> str:
    """The message, with what is far too long for a word cut off, such as a name or a path."""
    return _LONG.sub(r"\1…", message)


def escape(text: str) -> str:
    """The whole text, with the same escapes."""
    return _ESCAPED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
