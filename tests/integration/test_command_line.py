"""The command line: results on standard output, messages on standard error, exit codes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cases import first_or_all
from experiment_features import config, version
from experiment_features.command_line import main
from experiment_features.config import SAMPLE_DROP
from experiment_features.definitions import USER_FEATURES
from experiment_features.errors import DropRejected
from experiment_features.load import load as load_module
from integration.running import features_of, make_drop, run_drop
from integration.servers import Database, Server

ROOT = Path(__file__).parents[2]

GOOD = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "0.5"), (2, "3", "")])
FAULTY = make_drop({1: "Ann", 2: ""}, [(1, "1", "")])

RESULT = [
    "run_id",
    "status",
    "mode",
    "given_source",
    "source",
    "engine",
    "users",
    "experiments",
    "compounds",
    "average_experiments_per_user",
    "rejected_rows",
    "warnings",
    "healed",
    "inserted",
    "updated",
    "deleted",
    "unchanged",
    "notices",
    "seconds",
]


def run_command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Runs a command in this process; returns exit status, standard output and error."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        status = int(end.code or 0)
    output, errors = capsys.readouterr()
    assert "Traceback" not in errors
    return status, output, errors


class TestRun:
    """The command `run`."""

    def test_prints_the_result_as_json(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Standard output is exactly one object; a second run is `unchanged`, unless forced."""
        command = ["run", GOOD.write(tmp_path), "--database-url", database.url(), "--json"]
        status, output, errors = run_command(capsys, *command, "--engine", "pandas")
        result = json.loads(output)
        assert (status, errors, list(result)) == (0, "", RESULT)
        assert (result["status"], result["inserted"], result["engine"]) == ("loaded", 2, "pandas")
        assert list(result["seconds"]) == ["extract", "validate", "transform", "load"]
        status, output, _ = run_command(capsys, *command)
        assert (status, json.loads(output)["status"]) == (0, "unchanged")
        _, output, _ = run_command(capsys, *command, "--force", "--engine", "duckdb")
        result = json.loads(output)
        assert (result["status"], result["unchanged"], result["engine"]) == ("loaded", 2, "duckdb")

    def test_prints_the_result_for_people(
        self, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Every figure has its own line; paths are not taken for markup."""
        folder = Path(tempfile.mkdtemp())  # short enough for one line
        source = GOOD.write(folder / "[" / "bold]")
        status, output, errors = run_command(
            capsys, "run", source, "--database-url", database.url()
        )
        assert (status, errors) == (0, "")
        assert f"{folder}/[/bold]" in output
        assert [line.split()[0] for line in output.splitlines() if line[1] != " "] == [
            name for name in RESULT if name != "notices"
        ]
        shutil.rmtree(folder)

    @pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]], ids=["check", "run"])
    def test_cuts_nothing_on_a_narrow_terminal(
        self,
        command: list[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What does not fit into 40 columns goes on in the next line."""
        monkeypatch.setenv("COLUMNS", "40")
        status, output, _ = run_command(capsys, *command, GOOD.write(tmp_path))
        assert status == 0
        assert "…" not in output
        if command == ["check"]:
            assert max(len(line) for line in output.splitlines()[:8]) <= 40
        else:
            assert str(tmp_path) in "".join(output.split())

    def test_dry_run_needs_no_database(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A dry run computes everything and loads nothing."""
        status, output, _ = run_command(capsys, "run", GOOD.write(tmp_path), "--dry-run", "--json")
        result = json.loads(output)
        assert (status, list(result)) == (0, [*RESULT, "plan"])
        assert (result["status"], result["users"], result["inserted"]) == ("dry run", 2, None)
        assert result["plan"] is None
        status, output, _ = run_command(capsys, "run", tmp_path, "--dry-run")
        assert (status, "None" in output) == (0, False)
        assert "the changes are unknown: add --database-url" in output

    @pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]], ids=["check", "run"])
    def test_without_a_database_no_parts_are_kept(
        self,
        command: list[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No ledger would name them, so nothing would remove them from the store."""
        monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "store"))
        status, _, _ = run_command(capsys, *command, GOOD.write(tmp_path / "drop"))
        assert (status, (tmp_path / "store").exists()) == (0, False)

    def test_a_delta_alone_has_no_features(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a database, a dry run cannot tell what a delta changes."""
        (tmp_path / "deleted_users.csv").write_text("user_id\n1\n")
        command = ["run", tmp_path, "--mode", "delta", "--dry-run"]
        status, _, errors = run_command(capsys, *command)
        assert status == 1
        assert "name the database (--database-url), or let `check` judge" in errors

    @pytest.mark.parametrize("engine", ["pandas", "duckdb"])
    def test_the_least_memory_suffices_for_the_sample(
        self, engine: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The limit that the settings just accept is one that works, with spare for more cores."""
        name = "EXPERIMENT_FEATURES_MEMORY_LIMIT"
        monkeypatch.setenv(name, "0.01MB")
        command = ["run", SAMPLE_DROP, "--dry-run", "--json", "--engine", engine]
        least = re.search("at least ([0-9]+)MB", run_command(capsys, *command)[2])
        assert least
        monkeypatch.setenv(name, f"{int(least[1]) // 2}.5MB")
        monkeypatch.setattr(config, "_LEAST_MEGABYTES", 0)
        assert run_command(capsys, *command)[0] == 0

    def test_takes_the_url_from_the_environment(
        self,
        database: Database,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """DATABASE_URL keeps passwords out of the process list."""
        monkeypatch.setenv("DATABASE_URL", database.url())
        status, _, _ = run_command(capsys, "run", GOOD.write(tmp_path))
        assert status == 0
        assert len(features_of(database)) == 2

    @pytest.mark.parametrize(
        ("options", "status"),
        [(["--max-rejected-percent", "50"], 0), (["--max-rejected-percent", "49.9"], 1), ([], 1)],
    )
    def test_refuses_too_many_faulty_rows(
        self,
        options: list[str],
        status: int,
        database: Database,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The error has status 1, and names the tables' shares and the location of the issues."""
        command = ["run", FAULTY.write(tmp_path), "--database-url", database.url(), *options]
        found, output, errors = run_command(capsys, *command)
        assert found == status
        assert len(features_of(database, "data_issues")) == 1
        if status:
            assert output == ""
            assert "users 50.0% (1 of 2 rows)" in errors
            assert "features.data_issues" in errors
            assert database.value("select status from features.pipeline_runs") == "rejected"

    def test_refuses_what_it_cannot_read(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An unreadable source gives status 1 and one line, even with brackets in its path."""
        source = tmp_path / "[/red]"
        command = ["run", source, "--database-url", database.url()]
        status, output, errors = run_command(capsys, *command)
        assert (status, output, len(errors.splitlines())) == (1, "", 1)
        assert errors.startswith(f"refused: the source {source} cannot be read")
        make_drop({}).write(source)
        status, _, errors = run_command(capsys, *command)
        assert (status, "has no rows" in errors) == (1, True)
        assert run_command(capsys, *command, "--allow-empty")[0] == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["load"],
            ["run"],
            ["run", "x"],
            ["run", "", "--dry-run"],
            ["run", "x", "--dry-run", "--engine", "abacus"],
            ["run", "x", "--dry-run", "--max-rejected-percent", "101"],
            ["run", "x", "--dry-run", "--max-rejected-percent", "nan"],
            ["run", "x", "--dry-run", "--max-rejected-percent", "many"],
            *[
                ["run", "x", "--dry-run", "--max-removed-percent", percent]
                for percent in ("-1", "100.1", "nan", "many", "1_0", "١٠", "-0", "1e1")
            ],
            *[
                ["check", "x", "--csv", file]
                for file in ("", "{folder}", "{folder}/fifo", "{folder}/loop")
            ],
            ["run", "x", "--no-such"],
            ["migrate"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage_is_status_2(
        self,
        arguments: list[str],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """Wrong usage prints a usage line and exits with status 2."""
        monkeypatch.delenv("DATABASE_URL", raising=False)
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        filled = [argument.format(folder=tmp_path) for argument in arguments]
        status, output, errors = run_command(capsys, *filled)
        assert (status, output) == (2, "")
        assert errors.startswith("usage:")

    def test_what_is_empty_or_too_long_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line below the usage, and no traceback."""
        for arguments, message in [
            (["trace", "1" * 5000], f"USER_ID: {'1' * 60}… is not a whole number from 1 to"),
            (["trace", "1", "--compound", "0" * 5000], "--compound: 000"),
            (["trace", "1", "--run", ""], "--run: it is empty: expected the id of a run"),
            (["reproduce", ""], "RUN: it is empty: expected the id of a run"),
            (["restore", ""], "RUN: it is empty: expected the id of a run"),
            (["check", "x", "--csv", ""], "--csv: it is empty: expected a file"),
            (["check", "x", "--database-url", " "], "--database-url: it is empty: expected a URL"),
        ]:
            status, output, errors = run_command(capsys, *arguments)
            assert (status, output) == (2, "")
            assert f"error: argument {message}" in errors.splitlines()[-1]

    def test_a_wrong_setting_is_status_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An invalid setting gives status 1 and a message that names the variable."""
        monkeypatch.setenv("EXPERIMENT_FEATURES_KEEP_DAYS", "ever")
        status, _, errors = run_command(capsys, "run", GOOD.write(tmp_path), "--dry-run")
        assert status == 1
        assert errors.startswith("refused: EXPERIMENT_FEATURES_KEEP_DAYS is 'ever'")


class TestTrace:
    """The command `trace`."""

    @pytest.fixture
    def first_run(self, database: Database, tmp_path: Path) -> str:
        """A load of two users, one of them with a faulty row, followed by one of Ann alone."""
        experiments = [(1, "1;2", "10.5"), (2, "3", "0.5"), (1, "2", ""), (2, "9", "1")]
        drop = make_drop({1: "Ann", 2: "Bob"}, experiments).write(tmp_path / "first")
        run_id = run_drop(database, drop, max_rejected_percent=100)["run_id"]
        drop = make_drop({1: "Ann"}, [(1, "1", "1")]).write(tmp_path / "second")
        run_drop(database, drop, max_removed_percent=100)
        return str(run_id)

    def test_prints_json(
        self, first_run: str, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One object, with every row behind the features of then."""
        command = ["trace", "2", "--run", first_run, "--database-url", database.url(), "--json"]
        status, output, errors = run_command(capsys, *command)
        found = json.loads(output)
        features = found.pop("features")
        assert (status, errors, list(features)) == (0, "", [*USER_FEATURES.columns])
        assert (features["user_name"], features["total_experiments"]) == ("Bob", 1)
        row = {"file": "user_experiments.csv", "line": 3, "experiment_id": 2, "compound_ids": [3]}
        faulty = {"line": 5, "experiment_id": 4, "compound_ids": [9], "run_time": 1.0}
        assert found == {
            "run": first_run,
            "source": str(tmp_path / "first"),
            "rows": [
                row | {"run_time": 0.5, "rules": []},
                row | faulty | {"rules": ["experiment_compound_ids_unknown"]},
            ],
            "counted": 1,
            "equal": True,
        }

    def test_prints_lines_for_people(
        self, first_run: str, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A compound leaves out lines, but all are counted; without a run, it is the last load."""
        command = ["trace", "1", "--database-url", database.url()]
        status, output, errors = run_command(capsys, *command, "--run", first_run)
        lines = [line.split() for line in output.splitlines()]
        assert (status, errors) == (0, "")
        assert ["user_experiments.csv:2", "1", "1;2", "10.5", "yes"] in lines
        assert ["user_experiments.csv:4", "3", "2", "yes"] in lines
        assert output.endswith("2 rows counted, total_experiments 2: equal\n")
        _, output, _ = run_command(capsys, *command, "--run", first_run, "--compound", "1")
        assert re.findall(r"csv:\d+", output) == ["csv:2"]
        assert output.endswith("2 rows counted, total_experiments 2: equal\n")
        _, output, _ = run_command(capsys, *command)
        assert output.endswith("1 row counted, total_experiments 1: equal\n")

    @pytest.mark.usefixtures("first_run")
    def test_tells_a_wrong_number(
        self, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """When there are fewer lines, or more, the exit status is 1."""
        nothing = "".join(f", {name} = null" for name in USER_FEATURES.columns[3:])
        for number, others in ((7, ""), (0, nothing)):
            change = f"update features.user_features set total_experiments = {number}{others}"  # noqa: S608
            database.query(change)
            status, output, _ = run_command(capsys, "trace", "1", "--database-url", database.url())
            assert status == 1
            assert output.endswith(f"1 row counted, total_experiments {number}: not equal\n")

    def test_says_that_nothing_was_loaded(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Neither before the first run, nor by one that was rejected before the first load."""
        rejected = make_drop({1: ""}, [(1, "1", "")]).write(tmp_path / "first")
        with pytest.raises(DropRejected):
            run_drop(database, rejected, run_id="rejected")
        for arguments, message in [
            ([], "nothing has been loaded yet: load a drop first"),
            (["--run", "rejected"], "run rejected did not load its drop, and no run before it had"),
            (["--run", "\udcff"], "the ledger has no run \\udcff"),
        ]:
            command = ["trace", "1", *arguments, "--database-url", database.url()]
            status, output, errors = run_command(capsys, *command)
            assert (status, output, len(errors.splitlines())) == (1, "", 1), errors
            assert message in errors

    @pytest.mark.usefixtures("first_run")
    def test_says_what_is_not_there(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Unknown users and runs, runs that did not load, and parts that are gone: one line each."""
        rejected = make_drop({1: ""}, [(1, "1", "")]).write(tmp_path / "third")
        with pytest.raises(DropRejected):
            run_drop(database, rejected, run_id="rejected")
        last = database.value("select run_id from features.user_features where user_id = 1")
        for arguments, message in [
            (["2"], f"run {last} has neither features nor experiments of user 2"),
            (["1", "--run", "none"], "the ledger has no run none"),
            (
                ["1", "--run", "rejected"],
                "run rejected did not load its drop; what was loaded when it ended came from",
            ),
        ]:
            command = ["trace", *arguments, "--database-url", database.url()]
            status, output, errors = run_command(capsys, *command)
            assert (status, output, len(errors.splitlines())) == (1, "", 1), errors
            assert message in errors
        database_id = database.value("select database_id::text from features.part_store")
        store = Path(os.environ["EXPERIMENT_FEATURES_STORE"])
        shutil.rmtree(store / "user_experiments" / database_id)
        status, output, errors = run_command(capsys, "trace", "1", "--database-url", database.url())
        assert (status, output, len(errors.splitlines())) == (1, "", 1), errors
        assert f"what run {last} read from user_experiments.csv is no longer in the store" in errors


def test_version_names_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to standard output."""
    printed = f"experiment_features {version.describe()}\n"
    assert run_command(capsys, "--version") == (0, printed, "")


def test_a_current_folder_that_is_gone_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative file cannot be written there; the drop is not read."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_command(capsys, "check", tmp_path, "--csv", "x.csv")[0] == 2


def test_a_full_disk_for_the_version_is_reported_in_one_line() -> None:
    """As for every other result."""
    command = [sys.executable, "-m", "experiment_features", "--version"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (4, 1)


class TestDatabaseTrouble:
    """Any problem with the database gives status 3."""

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("postgresql://etl@/x?host=/nowhere", "cannot connect to the database: "),
            ("postgresql://etl@127.0.0.1:9/x", "cannot connect to the database: "),
            ("nonsense", "the database URL is not valid"),
        ],
    )
    def test_no_server(
        self, url: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a server, `run` and `migrate` print one line."""
        for command in (["run", GOOD.write(tmp_path)], ["migrate"]):
            status, output, errors = run_command(capsys, *command, "--database-url", url)
            assert (status, output, len(errors.splitlines())) == (3, "", 1)
            assert errors.startswith(f"database: {message}")

    def test_blanks_around_the_url(
        self,
        database: Database,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """The line break of the file that it comes from is none of it; blanks alone are no URL."""
        monkeypatch.setenv("DATABASE_URL", f" {database.url()}\n")
        status, _, errors = run_command(capsys, "state")
        assert (status, "nothing has been loaded yet" in errors) == (1, True)
        monkeypatch.setenv("DATABASE_URL", " \n")
        status, _, errors = run_command(capsys, "state")
        assert (status, "--database-url is required" in errors) == (2, True)
        status, output, _ = run_command(capsys, "run", GOOD.write(tmp_path), "--dry-run")
        assert (status, "the changes are unknown: add --database-url" in output) == (0, True)

    def test_wrong_password(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The message does not repeat a wrong password."""
        url = database.url("locked", "wr0ng")
        status, _, errors = run_command(capsys, "run", GOOD.write(tmp_path), "--database-url", url)
        assert status == 3
        assert "password authentication failed" in errors
        assert "wr0ng" not in errors

    def test_no_schema(
        self, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without the schema, the message gives the command that creates it."""
        with server.database("bare", "template1") as bare:
            source = GOOD.write(tmp_path)
            status, _, errors = run_command(capsys, "run", source, "--database-url", bare.url())
            assert (status, "run `python -m experiment_features migrate" in errors) == (3, True)
            status, _, errors = run_command(capsys, "migrate", "--database-url", bare.url("keeper"))
            assert (status, "the schema features is at revision" in errors) == (0, True)
            assert run_command(capsys, "run", source, "--database-url", bare.url())[0] == 0

    def test_a_server_that_crashes_during_the_load(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A server crash during the load gives one line, and the next run succeeds."""
        server = Server("18")
        try:
            with server.database("crashing") as database:
                command = ["run", GOOD.write(tmp_path), "--database-url", database.url()]
                enter = load_module.enter_run

                def crash(*arguments: Any, **options: Any) -> None:
                    server.stop("immediate")
                    enter(*arguments, **options)

                with monkeypatch.context() as patch:
                    patch.setattr(load_module, "enter_run", crash)
                    status, output, errors = run_command(capsys, *command)
                assert (status, output) == (3, "")
                assert errors.startswith("database: cannot load run cli__")
                assert len(errors.splitlines()) == 1
                server.start()
                assert features_of(database) == []
                assert run_command(capsys, *command)[0] == 0
        finally:
            server.close()


def test_as_a_process(database: Database, tmp_path: Path) -> None:
    """The command works in a process of its own, as documented."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "experiment_features", "run", GOOD.write(tmp_path)),
            *("--database-url", database.url(), "--json"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["inserted"] == 2


@contextmanager
def started(folder: Path, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Starts a command that keeps its temporary files in the folder; kills it at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "experiment_features", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include"), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background ignore these, and their children would inherit that.
        preexec_fn=lambda: [
            signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)
        ],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", first_or_all(signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_an_interrupt_ends_it_with_one_line(
    number: signal.Signals, database: Database, tmp_path: Path
) -> None:
    """A signal while waiting for another load gives one line and leaves nothing behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    source = GOOD.write(tmp_path / "source")
    with database.connect("etl") as holder:
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        with started(temporary, "run", source, "--database-url", database.url()) as process:
            while not database.value("select count(*) from pg_locks where not granted"):
                assert process.poll() is None
            assert len(list(temporary.iterdir())) == 1
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert errors.startswith("interrupted: ")
    assert len(errors.splitlines()) == 1
    assert features_of(database) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", first_or_all(signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_an_interrupt_at_startup_ends_it_silently(number: signal.Signals, tmp_path: Path) -> None:
    """A signal during the imports prints no stack trace."""
    with started(tmp_path, "check", tmp_path) as process:
        while not any("numpy" in m.path for m in psutil.Process(process.pid).memory_maps()):
            assert process.poll() is None
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-number, "")


@pytest.mark.parametrize(
    "calls",
    [
        "log_handler=interrupt",  # while terminal.py is imported, which takes long
        "make_parser=interrupt, complain=interrupt",  # one more, after the first
        "make_parser=lambda: duckdb.connect().register('rows', Rows())",
    ],
)
def test_interrupts_end_it_without_a_stack_trace(calls: str) -> None:
    """A signal may come at any moment."""
    code = f"""
import runpy
import duckdb
from experiment_features import command_line

def interrupt(*_):
    raise KeyboardInterrupt

class Rows:
    __arrow_c_stream__ = interrupt

vars(command_line).update({calls})
runpy.run_module("experiment_features", run_name="__main__")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "include")}
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "/"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


def test_what_a_killed_run_left_is_removed_by_the_next(database: Database, tmp_path: Path) -> None:
    """But not the files of runs that are in progress, of other users, or of other programs."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["run", GOOD.write(tmp_path / "source"), "--database-url", database.url()]
    waiting = "select count(*) from pg_locks where not granted"
    with database.connect("etl") as holder:
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        with started(temporary, *command) as killed:
            while database.value(waiting) < 1:
                assert killed.poll() is None
            (left,) = temporary.iterdir()
            with started(temporary, *command) as living:
                while database.value(waiting) < 2:
                    assert living.poll() is None
                killed.kill()
                killed.wait()
                assert (left / "run" / "extract.json").exists()
                foreign = Path(shutil.copytree(left, temporary / f"{left.name}_foreign"))
                (foreign / ".lock").rename(foreign / "lock")
                if os.geteuid() == 0:
                    foreign = Path(shutil.copytree(left, temporary / f"{left.name}_of_another"))
                    os.chown(foreign, 65534, 65534)
                kept = set(temporary.iterdir()) - {left}
                with started(temporary, "check", tmp_path / "source") as check:
                    assert check.wait(timeout=60) == 0
                assert set(temporary.iterdir()) == kept


@pytest.mark.parametrize(
    "begun", first_or_all("scratch/counted/0.pairs", "user_experiments/.draft-*.parquet")
)
def test_an_interrupt_in_a_query_ends_it_with_one_line(begun: str, tmp_path: Path) -> None:
    """Interrupts end the run even though DuckDB wraps or replaces the exceptions they raise."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    source = make_drop({i: f"user {i}" for i in range(1, 5_001)}).write(tmp_path / "source")
    with (source / "user_experiments.csv").open("a") as file:
        for i in range(400_000):
            file.write(f"{i},{1 + i * i % 5_000},{1 + i % 3};{1 + (i + 1) % 3},2.5\n")
    with started(temporary, "run", source, "--dry-run") as process:
        while not list(temporary.glob(f"*/run/{begun}")):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, len(errors.splitlines())) == (130, 1), errors
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run", "--json"]], ids=" ".join)
def test_a_closed_pipe_is_no_error(command: list[str], tmp_path: Path) -> None:
    """A reader that stops early, such as `| head`, is not an error."""
    with subprocess.Popen(
        [sys.executable, "-m", "experiment_features", *command, GOOD.write(tmp_path / "drop")],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "include"),
            "EXPERIMENT_FEATURES_WORKSPACES": str(tmp_path / "workspaces"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
