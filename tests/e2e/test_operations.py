"""The runbook's commands, typed as they are written."""

import re
from textwrap import dedent
from typing import Any

import pytest

from e2e.local_stack import ROOT, SAMPLE, Stack
from e2e.test_readme_commands import type_in

pytestmark = [
    pytest.mark.xdist_group("stack"),
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # the waits have their own bounds, of several runs each
]

RUNBOOK = (ROOT / "docs" / "operations.md").read_text()


def commands(heading: str) -> list[str]:
    """The shell blocks below a heading, in lists too."""
    _, section = re.split(rf"^#+ {heading}$", RUNBOOK, flags=re.MULTILINE)
    section, *_ = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)
    return [dedent(block) for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)]


def test_a_number_is_traced_to_its_rows_and_files(stack: Stack) -> None:
    """From user 2's experiments to the files, what was left out, and the lines that count."""
    stack.trigger(SAMPLE)
    features, files, rejected, lines, history = (
        type_in(stack, command) for command in commands("A number looks wrong")
    )
    ((experiments,),) = (
        row.values()
        for row in stack.query(
            "select total_experiments from features.user_features where user_id = 2"
        )
    )
    assert re.search(rf"^ +2 \| +{experiments} \| ", features, re.MULTILINE)
    assert {"users.csv", "user_experiments.csv", "compounds.csv"} <= set(
        re.findall(r"[a-z_]+\.csv", files)
    )
    named = {int(line) for line in re.findall(r"user_experiments\.csv \| +(\d+)", rejected)}
    of_user = {int(line.partition(":")[0]) for line in lines.splitlines()}
    assert len(of_user - named) == experiments
    assert f" {experiments} | " in history


def test_a_rejected_drop_is_looked_into(stack: Stack) -> None:
    """The rules that its rows break, with the first place of each."""
    stack.refusal("--conf", '{"max_rejected_percent": 5}')
    (command,) = commands("A drop is rejected or refused")
    printed = type_in(stack, command)
    assert re.search(r"user_experiments \| \w+ +\| +\d+ \| user_experiments.csv:\d+", printed)


def test_what_takes_room(stack: Stack) -> None:
    """The folders of the local stack, with their sizes."""
    (command,) = commands("The disk is full")
    printed = type_in(stack, command)
    for folder in ("workspaces", "airflow", "postgres"):
        assert re.search(rf"^\S+\t.*/{folder}$", printed, re.MULTILINE)


def test_the_holder_of_the_lock_is_seen(stack: Stack) -> None:
    """The query finds a load's session by its name."""
    query, _end = re.findall(r"```sql\n(.*?;)\n(select.*?)```", RUNBOOK, re.DOTALL)[0]
    with stack.connect("postgres", "experiment_features") as connection:
        connection.execute("set application_name = 'experiment_features api__1'")
        seen: list[dict[str, Any]] = connection.execute(query).fetchall()
    assert "experiment_features api__1" in {row["application_name"] for row in seen}
