"""What errors say."""

from experiment_features.errors import DropRefused


def test_a_message_is_one_line() -> None:
    """Whatever a message quotes, it cannot pretend to be another message, or rule a terminal."""
    error = DropRefused("users.csv has no column 'a\n2026-01-01 INFO loaded\x1b[2J\u202e\udcff'")
    named = r"'a\n2026-01-01 INFO loaded\x1b[2J\u202e\udcff'"
    assert str(error) == f"users.csv has no column {named}"


def test_a_file_can_be_written_down() -> None:
    """In the ledger and in a CSV file, whatever bytes its name has."""
    assert DropRefused("is not read", file="users\udcff.csv").file == r"users\udcff.csv"
    assert DropRefused("is not read").file is None
