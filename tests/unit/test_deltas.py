"""Sequences of snapshots and deltas through the stages, on pandas and DuckDB in turn."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delta_drops import Step, sequences
from delta_stages import check_sequence
from stages import ENGINES


@pytest.mark.timeout(900)  # on a machine that does much else
@given(sequence=sequences(refused=True), engine=st.sampled_from(ENGINES))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_gives_what_one_run_over_the_resulting_snapshot_gives(
    sequence: list[Step], engine: str
) -> None:
    """Features, issues and figures after each load are the oracle's; refusals change nothing."""
    with TemporaryDirectory() as folder:
        check_sequence(sequence, Path(folder), engine)
