"""The scripts read .env as data, in the way of Docker Compose."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPOSE = ("docker", "compose")
READ = f"""
set -euo pipefail
fail() {{ printf '%s' "$*" >&2; exit 1; }}
source '{ROOT}/scripts/settings.sh'
read_settings .env
env -0
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIVEN": "outside"}

FILE = r"""
# comment
PLAIN=18110
SPACED = 18111
  INDENTED=18112
export EXPORTED=18113
TRAILING=a b   \t
COMMENTED=a # b
HASH=a#b
FIRST=# a
EMPTY=
COLON: a
DOUBLE="a # b" # c
SINGLE='a "b" $PLAIN \n'
QUOTE='it\'s'
ESCAPES="a\tb\n\"c\"\\d\$PLAIN\x"
INNER=a"b"'c'
BACKSLASH=a\nb
JSON=[{"notifier": "a.b", "text": "{{ subject }}: 1"}]
REFERENCE=$PLAIN-${SPACED}-$NOWHERE-$GIVEN
QUOTED_REFERENCE="$PLAIN"
DOLLARS=a$$b$1$
LINES="one
two"
GIVEN=inside
INHERITED
CARRIAGE=a\r
COMMAND=$(touch made)`touch made`;touch made
LAST=z""".replace("b   \\t", "b   \t").replace("a\\r", "a\r")

VALUES = {
    "PLAIN": "18110",
    "SPACED": "18111",
    "INDENTED": "18112",
    "EXPORTED": "18113",
    "TRAILING": "a b",
    "COMMENTED": "a",
    "HASH": "a#b",
    "FIRST": "# a",
    "EMPTY": "",
    "COLON": "a",
    "DOUBLE": "a # b",
    "SINGLE": r'a "b" $PLAIN \n',
    "QUOTE": "it's",
    "ESCAPES": 'a\tb\n"c"\\d$PLAIN\\x',
    "INNER": "a\"b\"'c'",
    "BACKSLASH": r"a\nb",
    "JSON": '[{"notifier": "a.b", "text": "{{ subject }}: 1"}]',
    "REFERENCE": "18110-18111--outside",
    "QUOTED_REFERENCE": "18110",
    "DOLLARS": "a$b$1$",
    "LINES": "one\ntwo",
    "GIVEN": "outside",
    "CARRIAGE": "a",
    "COMMAND": "$(touch made)`touch made`;touch made",
    "LAST": "z",
}


def read(folder: Path) -> subprocess.CompletedProcess[str]:
    """Reads .env in a folder with the scripts' function; prints the environment."""
    return subprocess.run(
        ["bash", "-c", READ],
        env=ENVIRONMENT,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_values_are_read_as_they_are_meant(tmp_path: Path) -> None:
    """Quotes, comments, blanks and references count; nothing is executed, the environment wins."""
    (tmp_path / ".env").write_text(FILE, newline="")
    done = read(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert {name: found.get(name) for name in VALUES} == VALUES
    assert "INHERITED" not in found
    assert list(tmp_path.iterdir()) == [tmp_path / ".env"]


@pytest.mark.skipif(
    not shutil.which("docker")
    or subprocess.run([*COMPOSE, "version"], capture_output=True, check=False).returncode,
    reason="there is no Docker Compose",
)
def test_compose_reads_the_same(tmp_path: Path) -> None:
    """The scripts and the containers agree on every value."""
    (tmp_path / ".env").write_text(FILE, newline="")
    environment = {name: f"${{{name}-not set}}" for name in VALUES}
    services = {"services": {"any": {"image": "any", "environment": environment}}}
    (tmp_path / "compose.yaml").write_text(json.dumps(services))
    done = subprocess.run(
        [*COMPOSE, "config", "--format", "json"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)["services"]["any"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in found.items()} == VALUES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AIRFLOW PORT=1", ".env: expected NAME=value, not AIRFLOW PORT=1"),
        ("A='b\nC=d", "the value of A has an opening quote, but no closing one"),
        ("A=${B:-c}", "the value of A has a ${...} that does not contain just a variable's name"),
    ],
    ids=["blank in a name", "open quote", "default value"],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    """The message says which setting it is."""
    (tmp_path / ".env").write_text(text)
    done = read(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message)


def test_without_the_file_nothing_is_set(tmp_path: Path) -> None:
    """A missing .env is no error."""
    assert read(tmp_path).returncode == 0
