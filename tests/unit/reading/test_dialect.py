"""Lines in quotes and with padding are taken apart a block at a time as they are one by one."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiment_features.reading.dialect import DELIMITERS, Dialect, find_line_ends

FIELDS = st.sampled_from(["", "1", "a b", '"', '""', '"1"', '"a b"', '"a"b', '"a{}b"', '"a\nb"'])
LINES = st.tuples(st.lists(FIELDS, min_size=1, max_size=3), st.sampled_from(["\n", "\r\n", "\r"]))


class Careful(Dialect):
    """Looks at every quote."""

    def _has_all_in_quotes(self, *_: object) -> bool:
        return False


def written(lines: list[tuple[list[str], str]], delimiter: bytes) -> bytes:
    """The text of some lines."""
    text = "".join("{}".join(fields) + end for fields, end in lines)
    return text.replace("{}", delimiter.decode()).encode()


@pytest.mark.parametrize("delimiter", DELIMITERS)
@given(lines=st.lists(LINES, min_size=1, max_size=4))
@example(lines=[(['"1"', '""'], "\n"), (['"a b"', '"1"'], "\n")])
@example(lines=[(['"1"', '"a b"'], "\r\n"), (['""', '"1"'], "\r\n")])
@example(lines=[(['"a"b"', '"'], "\n"), (['"1"', '"1"'], "\n")])
@example(lines=[(['"1"', '"1"'], "\n"), (['""'], "\n")])
def test_lines_with_all_in_quotes_are_plain(
    delimiter: bytes, lines: list[tuple[list[str], str]]
) -> None:
    """The shortcut finds what looking at every quote finds."""
    text = written(lines, delimiter)
    ends = find_line_ends(text)
    starts = np.concatenate(([0], ends[:-1]))
    careful = Careful(delimiter).find_odd_lines(text, starts, ends)
    assert Dialect(delimiter).find_odd_lines(text, starts, ends).tolist() == careful.tolist()


def test_quotes_around_every_field_are_seen_at_once() -> None:
    """Whatever ends a line; else they would all be looked at."""
    for end in ("\n", "\r\n"):
        text = written([(['"1"', '""', '"a b"'], end)] * 2, b",")
        starts = np.array([0, len(text) // 2])
        assert Dialect(b",")._has_all_in_quotes(text, starts)


@pytest.mark.parametrize("delimiter", DELIMITERS)
@given(text=st.text(" \t1a{}\n", max_size=30))
def test_padding_is_what_is_beside_a_delimiter_or_line_end(delimiter: bytes, text: str) -> None:
    """However long it is; other blanks stay."""
    dialect = Dialect(delimiter)
    raw = text.replace("{", delimiter.decode()).replace("}", " ").encode() + b"\n"
    lines = raw.split(b"\n")
    stripped = [
        delimiter.join(f.strip(dialect.padding) for f in line.split(delimiter)) for line in lines
    ]
    assert dialect.strip_padding(raw) == b"\n".join(stripped)
