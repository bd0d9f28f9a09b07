"""Deltas through PostgreSQL: what is in force, whatever came before, and what a delta stands on."""

import itertools
import json
from errno import ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from cases import cases, first_or_all
from comparison import assert_features
from delta_drops import Step
from delta_oracle import compute, follow
from drops import CLEAN, Drop, Part, Row
from experiment_features.command_run import open_source
from experiment_features.contract import TABLES
from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    DropRefused,
    DropRejected,
    LoadHeld,
    PartGone,
)
from experiment_features.load.database import connect
from experiment_features.load.part_store import find_dependent_loads, remove_old_parts
from experiment_features.pipeline import Pipeline
from experiment_features.run import Result, Transformed
from experiment_features.store import compaction
from integration.histories import (
    ANY,
    Events,
    assert_reproducible,
    follow_history,
    histories,
    lines_of,
    open_issues,
    parts_of,
    restore,
    run,
)
from integration.running import (
    compute_drop,
    extract_drop,
    features_of,
    make_pipeline,
    record_as_left,
    run_of,
    run_stages,
)
from integration.servers import Database, Server
from stages import TODAY, rows_of

_numbers = itertools.count(1)


@pytest.mark.timeout(600)
@settings(max_examples=cases(4), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories())
def test_any_history(history: list[tuple[Step, Events]], server: Server) -> None:
    """After each load and restore, all is as the oracle says; each can be computed again."""
    with server.database(f"deltas_{next(_numbers)}") as database, TemporaryDirectory() as folder:
        follow_history(history, database, Path(folder))


def rows(table: str, *cells: tuple[str, ...]) -> Part:
    """A file of a table."""
    return Part(table, "", tuple(map(Row, cells)))


def delta(**of_tables: list[tuple[str, ...]]) -> Drop:
    """A delta with these rows."""
    return Drop(tuple(rows(table, *cells) for table, cells in of_tables.items()))


STATUSES = ("refused", "rejected", "held", "failed", "running", "skipped")
WHOLE = Drop(tuple(rows(table, *cells) for table, cells in CLEAN.items()))
NEW_USER = delta(users=[("9", "Ida", "i@b.c", "2024-01-01")])
GONE_USER = delta(deleted_users=[("1",)])


@pytest.fixture
def whole(database: Database, tmp_path: Path) -> dict[str, Any]:
    """The result of a snapshot that was loaded."""
    return run(database, tmp_path, WHOLE.write(tmp_path / "whole"))


def declare(source: Path, **manifest: Any) -> Path:
    """Writes the manifest of a delta."""
    (source / "_READY").write_text(json.dumps({"mode": "delta", **manifest}))
    return source


def users_of(database: Database) -> list[int]:
    """The ids of all users."""
    return [row["user_id"] for row in features_of(database)]


def test_a_delta_is_recorded(database: Database, whole: dict[str, Any], tmp_path: Path) -> None:
    """With its mode, its base, its own files, and the layers that it was computed on."""
    source = declare(NEW_USER.write(tmp_path / "monday"), base="whole")
    result = run(database, tmp_path, source)
    assert (result["status"], result["mode"], result["inserted"]) == ("loaded", "delta", 1)
    entry = run_of(database, result["run_id"])
    assert (entry["mode"], entry["base_run_id"]) == ("delta", whole["run_id"])
    assert [file["name"] for file in entry["source_files"]] == ["users.csv"]
    assert [(layer["run_id"], Path(layer["source"]).name) for layer in entry["parts"]] == [
        (whole["run_id"], "whole"),
        (result["run_id"], "monday"),
    ]


@pytest.mark.usefixtures("whole")
def test_a_trigger_that_changes_an_issue_of_a_delta_is_named(
    database: Database, tmp_path: Path
) -> None:
    """As of a snapshot; nothing is loaded."""
    database.query(
        "create function mask() returns trigger language plpgsql as "
        "$$begin new.value := null; return new; end$$; create trigger masks "
        "before insert on features.data_issues for each row execute function mask()"
    )
    source = delta(users=[("9", "Ida", "no address", "2024-01-01")]).write(tmp_path / "monday")
    with pytest.raises(DatabaseRefused, match="data_issues: 1 rows are not as they were written"):
        run(database, tmp_path, declare(source))
    assert 9 not in users_of(database)


def test_a_load_by_a_version_without_a_store_is_no_base(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Until its snapshot is loaded again, which gives it parts and changes no feature."""
    database.query(
        "update features.pipeline_runs set parts = '[]', totals = null, features_sha256 = null, "
        "issues_sha256 = null"
    )
    monday = NEW_USER.write(tmp_path / "monday")
    with pytest.raises(DropRefused, match="there is no load in the store"):
        run(database, tmp_path, monday, "delta")
    again = run(database, tmp_path, Path(whole["source"]))
    assert (again["status"], again["unchanged"]) == ("loaded", 3)
    run(database, tmp_path, monday, "delta")
    assert users_of(database) == [1, 2, 3, 9]


def test_the_same_delta_is_unchanged(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Unless it is forced: then all is computed again from the same layers."""
    source = declare(NEW_USER.write(tmp_path / "monday"), base=whole["run_id"])
    first = run(database, tmp_path, source)
    again = run(database, tmp_path, source)
    assert (again["status"], again["mode"]) == ("unchanged", "delta")
    forced = run(database, tmp_path, source, force=True)
    assert (forced["status"], forced["updated"], forced["inserted"]) == ("loaded", 0, 0)
    first_entry, entry = (run_of(database, run["run_id"]) for run in (first, forced))
    assert entry["parts"] == first_entry["parts"]
    assert entry["base_run_id"] == whole["run_id"]


@pytest.mark.usefixtures("whole")
def test_a_row_heals(database: Database, tmp_path: Path) -> None:
    """An experiment whose user arrives later counts from then on, and its issue is closed."""
    early = delta(user_experiments=[("50", "9", "1", "1")])
    rejected = run(database, tmp_path, early.write(tmp_path / "early"), "delta")
    assert (rejected["rejected_rows"], rejected["healed"]) == (1, 0)
    assert rejected["mode"] == "delta"
    found = run(database, tmp_path, NEW_USER.write(tmp_path / "later"), "delta")
    assert (found["rejected_rows"], found["healed"]) == (0, 1)
    assert not open_issues(database)
    (issue,) = database.query("select run_id, found_by, closed_by from features.data_issues")
    assert (issue["run_id"], issue["found_by"]) == (rejected["run_id"], rejected["run_id"])
    assert issue["closed_by"] == found["run_id"]
    assert lines_of(database, tmp_path, 9) == {("early/user_experiments.csv", 2)}


@pytest.mark.usefixtures("whole")
def test_an_issue_that_stays_is_stored_once(database: Database, tmp_path: Path) -> None:
    """It keeps the run that found it, however many deltas follow."""
    early = delta(user_experiments=[("50", "9", "1", "1")])
    rejected = run(database, tmp_path, early.write(tmp_path / "early"), "delta")
    run(database, tmp_path, GONE_USER.write(tmp_path / "later"), "delta")
    (issue,) = database.query(
        "select found_by, closed_by from features.data_issues where row_id = 50"
    )
    assert issue == {"found_by": rejected["run_id"], "closed_by": None}


def test_what_is_mended_has_not_healed(database: Database, tmp_path: Path) -> None:
    """A row that a delta replaces is another one; and what has no id does not outlast the delta."""
    faulty = [("4", "", "d@b.c", "2024-01-01"), ("x", "Eve", "e@b.c", "2024-01-01")]
    users = rows("users", *CLEAN["users"], *faulty)
    others = [part for part in WHOLE.parts if part.table != "users"]
    run(database, tmp_path, Drop((users, *others)).write(tmp_path / "whole"))
    assert len(open_issues(database)) == 2
    mended = delta(users=[("4", "Dan", "d@b.c", "2024-01-01")])
    result = run(database, tmp_path, mended.write(tmp_path / "mended"), "delta")
    assert (result["inserted"], result["healed"], open_issues(database)) == (1, 0, {})


def test_a_run_whose_drop_is_in_force_is_kept(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """However old it and the delta on top of it are."""
    source = NEW_USER.write(tmp_path / "monday")
    run(database, tmp_path, source, "delta")
    database.query(
        "update features.pipeline_runs set started_at = started_at - interval '100 days', "
        "finished_at = finished_at - interval '100 days'"
    )
    assert run(database, tmp_path, source, "delta")["status"] == "unchanged"
    assert run_of(database, whole["run_id"])["status"] == "loaded"


def run_delta(database: Database, folder: Path, source: Path) -> tuple[Pipeline, Result]:
    """Runs all stages on a delta."""
    pipeline = make_pipeline(database, folder / "workspaces", mode="delta", **ANY)
    return pipeline, run_stages(pipeline, lambda: pipeline.extract(open_source(str(source))))


@pytest.mark.usefixtures("whole")
def test_only_what_a_delta_touches_is_computed(database: Database, tmp_path: Path) -> None:
    """The users and compounds of the experiments that it brings, replaces or makes valid."""
    early = delta(user_experiments=[("50", "9", "1", "1")])
    run(database, tmp_path, early.write(tmp_path / "early"), "delta")
    pipeline, result = run_delta(database, tmp_path, NEW_USER.write(tmp_path / "later"))
    assert [row["user_id"] for row in rows_of(pipeline.workspace.features("user_features"))] == [9]
    compounds = rows_of(pipeline.workspace.features("compound_features"))
    assert [row["compound_id"] for row in compounds] == [1]
    assert (result.inserted, result.updated, result.unchanged) == (1, 0, 3)


BY_HAND = {
    "a_name": "update features.user_features set user_name = 'Eve' where user_id = 2",
    "totals": "update features.compound_features set total_experiments = total_experiments + 1",
    "a_compound_gone": "delete from features.compound_features where compound_id = 1",
    "an_issue_gone": "delete from features.data_issues",
    "an_issues_value": "update features.data_issues set value = 'x' where rule = 'email_invalid'",
    "an_issue_of_another_file": "update features.data_issues set file_name = 'other.csv'",
}
BY_HAND_DAILY = ("totals", "an_issue_gone")


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            statement, marks=[] if name in BY_HAND_DAILY else pytest.mark.thorough, id=name
        )
        for name, statement in BY_HAND.items()
    ],
)
def test_everything_is_computed_if_rows_were_changed_by_hand(
    database: Database, tmp_path: Path, statement: str
) -> None:
    """What is not as the last load left it is not built on, but put right."""
    early = delta(
        users=[("7", "Eve", "nobody", "2024-01-01")], user_experiments=[("50", "8", "1", "1")]
    )
    run(database, tmp_path, early.write(tmp_path / "early"), "delta")
    figures = [(row["user_name"], row["total_experiments"]) for row in features_of(database)]
    issues = open_issues(database)
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute(statement)
    pipeline, result = run_delta(database, tmp_path, GONE_USER.write(tmp_path / "later"))
    assert pipeline.workspace.found(Transformed).is_whole
    found = [(row["user_name"], row["total_experiments"]) for row in features_of(database)]
    assert found == figures[1:]
    assert len(features_of(database, "compound_features")) == len(CLEAN["compounds"])
    assert set(issues) <= set(open_issues(database))
    assert_reproducible(database, tmp_path, result.run_id)


def test_everything_is_computed_after_a_load_by_another_version(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Its rules and features were others, also of rows that the delta does not touch."""
    database.query("update features.user_features set user_name = 'of old' where user_id = 2")
    database.query("update features.pipeline_runs set definition_version = 1")
    record_as_left(database, whole["run_id"])
    run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")
    assert [row["user_name"] for row in features_of(database)] == ["Ann", "Bob", "Cyd", "Ida"]


@pytest.mark.usefixtures("whole")
def test_a_change_by_hand_meanwhile_is_noticed(database: Database, tmp_path: Path) -> None:
    """Also in rows that a delta leaves alone."""
    pipeline = make_pipeline(database, tmp_path / "workspaces", mode="delta", **ANY)
    compute_drop(pipeline, NEW_USER.write(tmp_path / "monday"))
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute("update features.user_features set user_name = 'Eve' where user_id = 2")
    with pytest.raises(DatabaseRefused, match="changed by hand since the delta was read"):
        pipeline.load()
    assert users_of(database) == [1, 2, 3]


@pytest.mark.usefixtures("whole")
def test_another_load_meanwhile_is_noticed(database: Database, tmp_path: Path) -> None:
    """A delta is loaded only on the load that it was computed on."""
    pipeline = make_pipeline(
        database, tmp_path / "workspaces", mode="delta", given_source="monday", **ANY
    )
    source = NEW_USER.write(tmp_path / "monday")

    def extract_and_be_overtaken() -> None:
        pipeline.extract(open_source(str(source)))
        run(database, tmp_path, GONE_USER.write(tmp_path / "other"), "delta")

    with pytest.raises(DropRefused, match="run it again from the start"):
        run_stages(pipeline, extract_and_be_overtaken)
    assert users_of(database) == [2, 3]
    assert run_of(database, pipeline.run.run_id)["status"] == "refused"


def test_a_mended_delta_takes_the_place_of_the_last(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """With all that it had brought; a folder used again has to say which of the two it means."""
    experiments = [("50", "3", "1", "1"), ("51", "8", "1", "1")]
    faulty = delta(user_experiments=experiments, deleted_users=[("1",)])
    source = declare(faulty.write(tmp_path / "monday"))
    replaced = run(database, tmp_path, source)
    (source / "user_experiments.csv").unlink()
    (source / "deleted_users.csv").write_text("user_id\n2\n")
    with pytest.raises(DropRefused, match="names no base"):
        run(database, tmp_path, source)
    mended = run(database, tmp_path, declare(source, base=whole["run_id"]))
    entry = run_of(database, mended["run_id"])
    assert entry["base_run_id"] == whole["run_id"]
    assert [layer["run_id"] for layer in entry["parts"]] == [whole["run_id"], mended["run_id"]]
    assert users_of(database) == [1, 3]
    state = follow(follow(None, tmp_path / "whole", "snapshot"), source, "delta")
    features = features_of(database), features_of(database, "compound_features")
    assert_features(compute(state, TODAY), *features)
    issues = "select row_id, found_by, closed_by from features.data_issues order by row_id"
    closed = (replaced["run_id"], mended["run_id"])
    assert [tuple(issue.values()) for issue in database.query(issues)] == [
        (1, *closed),
        (2, *closed),
        (3, mended["run_id"], None),
        (51, *closed),
    ]


@pytest.mark.usefixtures("whole")
def test_a_source_of_deltas_must_say_what_it_holds(database: Database, tmp_path: Path) -> None:
    """Else a delta whose manifest was forgotten would be taken for the whole."""
    source = NEW_USER.write(tmp_path / "monday")
    run(database, tmp_path, source, "delta")
    (source / "deleted_users.csv").unlink(missing_ok=True)
    for table in ("compounds", "user_experiments"):
        (source / f"{table}.csv").write_bytes((tmp_path / "whole" / f"{table}.csv").read_bytes())
    with pytest.raises(DropRefused, match="does not say what it holds now"):
        run(database, tmp_path, source)
    assert run(database, tmp_path, source, "snapshot")["status"] == "loaded"
    assert users_of(database) == [9]


@pytest.mark.usefixtures("whole")
def test_a_run_without_a_source_takes_the_mode_of_the_last_load(
    database: Database, tmp_path: Path
) -> None:
    """Another mode is refused."""
    source = NEW_USER.write(tmp_path / "monday")
    run(database, tmp_path, source, "delta")
    assert run(database, tmp_path, source, given_source="")["status"] == "unchanged"
    with pytest.raises(ConfigurationError, match="is a delta"):
        run(database, tmp_path, source, "snapshot", given_source="")
    whole = tmp_path / "whole"
    assert run(database, tmp_path, whole, given_source="")["mode"] == "snapshot"  # as it arrives


def test_a_folder_is_used_again_in_the_other_mode(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Its marker says so, and not the last load."""
    inbox = tmp_path / "whole"
    with TemporaryDirectory() as other:
        for path in inbox.iterdir():
            path.rename(Path(other) / path.name)
        declare(NEW_USER.write(inbox), base=whole["run_id"])
        assert run(database, tmp_path, inbox, given_source="")["mode"] == "delta"
        (inbox / "_READY").write_text('{"mode": "snapshot"}')
        for path in Path(other).iterdir():
            path.rename(inbox / path.name)
    assert run(database, tmp_path, inbox, given_source="")["mode"] == "snapshot"
    assert users_of(database) == [1, 2, 3]


@pytest.mark.usefixtures("whole")
def test_an_empty_marker_makes_a_delta_no_snapshot(database: Database, tmp_path: Path) -> None:
    """In a folder that held a delta, its manifest may be missing, though every table is there."""
    source = declare(WHOLE.write(tmp_path / "monday"))
    assert run(database, tmp_path, source, given_source="")["mode"] == "delta"
    (source / "_READY").write_text("")
    for more in ("", "4,Dan,,\n"):
        with (source / "users.csv").open("a") as users:
            users.write(more)
        for given_source in ("", str(source)):
            with pytest.raises(DropRefused, match=r'write \{"mode": "delta"\} or .* its marker'):
                run(database, tmp_path, source, given_source=given_source)


@pytest.mark.parametrize("marker", [True, False])
def test_the_drop_of_the_last_load_is_what_it_was(
    marker: bool, database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Put back after a delta in its folder that did not load, though it does not say what it is."""
    inbox = tmp_path / "whole"
    users = (inbox / "users.csv").read_bytes()
    (inbox / "users.csv").write_text("user_id,name,email,signup_date\n" + 11 * "x,,,\n")
    with pytest.raises(DropRejected):
        run(database, tmp_path, declare(inbox, base=whole["run_id"]), max_rejected_percent=10)
    (inbox / "users.csv").write_bytes(users)
    (inbox / "_READY").unlink()
    if marker:
        (inbox / "_READY").touch()
    assert run(database, tmp_path, inbox, given_source="")["status"] == "unchanged"


@pytest.mark.usefixtures("whole")
def test_a_load_below_is_restored(database: Database, tmp_path: Path) -> None:
    """Then a delta builds on what it restored, under any of its names."""
    monday = run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")
    run(database, tmp_path, GONE_USER.write(tmp_path / "tuesday"), "delta")
    restored = restore(database, tmp_path, monday["run_id"])
    assert users_of(database) == [1, 2, 3, 9]
    entries = [run_of(database, each) for each in (monday["run_id"], restored.run_id)]
    for digest in ("features_sha256", "issues_sha256", "mode", "base_run_id"):
        assert entries[0][digest] == entries[1][digest]
    after = delta(deleted_users=[("2",)]).write(tmp_path / "after")
    with pytest.raises(DropRefused, match="names tuesday as its base"):
        run(database, tmp_path, declare(after, base="tuesday"))
    for base in (restored.run_id, "monday"):
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        extracted = extract_drop(pipeline, declare(after, base=base))
        assert extracted.base_run_id == restored.run_id
    run(database, tmp_path, declare(after, base=monday["run_id"]))
    assert users_of(database) == [1, 3, 9]


@pytest.mark.parametrize("name", ["link", "link/../monday"])
@pytest.mark.usefixtures("whole")
def test_a_folder_is_known_by_each_of_its_names(
    name: str, database: Database, tmp_path: Path
) -> None:
    """In Airflow, where names are resolved, the daily run would take the delta for a snapshot."""
    monday = WHOLE.write(tmp_path / "monday")
    (tmp_path / "link").symlink_to(monday)
    result = run(database, tmp_path, tmp_path / name, "delta")
    assert result["source"] == str(monday)
    with pytest.raises(DropRefused, match="held a delta before"):
        run(database, tmp_path, monday)


def test_a_restore_reads_no_drop(database: Database, tmp_path: Path) -> None:
    """What its source holds is as unclear as before, and if it is held, no delta waits for that."""
    many = [(str(number), "Ann", "a@b.c", "2024-01-01") for number in range(1, 41)]
    others = [part for part in WHOLE.parts if part.table != "users"]
    first = run(database, tmp_path, WHOLE.write(tmp_path / "inbox"))
    source = Drop((rows("users", *many), *others)).write(tmp_path / "inbox")
    run(database, tmp_path, declare(source, base=first["run_id"]))
    (source / "_READY").unlink()
    with pytest.raises(LoadHeld, match=f"restore {first['run_id']} with max_removed_percent 100"):
        restore(database, tmp_path, first["run_id"], max_removed_percent=20)
    pipeline = make_pipeline(database, tmp_path / "workspaces")
    assert pipeline.known_drops.find_failed([str(source)]) is None
    restore(database, tmp_path, first["run_id"])
    with pytest.raises(DropRefused, match="held a delta before"):
        run(database, tmp_path, source)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def lose(kind: str, store: Path, *tables: str) -> None:
    """Loses the parts of tables, or damages them."""
    paths = [path for table in tables for path in (store / table).rglob("*.parquet")]
    assert paths
    for path in paths:
        path.unlink() if kind == "lost" else path.write_bytes(b"damaged")


@pytest.mark.parametrize("kind", first_or_all("lost", "damaged"))
def test_lost_parts_below_are_made_anew(
    kind: str, store: Path, database: Database, tmp_path: Path
) -> None:
    """From the drops of all layers: a new delta can be built on them, and so can the same again."""
    run(database, tmp_path, WHOLE.write(tmp_path / "whole"))
    run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")
    lose(kind, store, "users", "compounds")
    result = run(database, tmp_path, GONE_USER.write(tmp_path / "tuesday"), "delta")
    assert users_of(database) == [2, 3, 9]
    assert len(run_of(database, result["run_id"])["parts"]) == 3
    again = run(database, tmp_path, tmp_path / "tuesday", "delta")
    assert again["status"] == "unchanged"
    lose(kind, store, "user_experiments")
    planned = make_pipeline(database, tmp_path / "plan", mode="delta")
    object.__setattr__(planned, "is_dry_run", True)
    compute_drop(planned, tmp_path / "tuesday")  # which makes parts only for itself
    assert kind == "damaged" or not [*(store / "user_experiments").rglob("*.parquet")]
    again = run(database, tmp_path, tmp_path / "tuesday", "delta")
    assert (again["status"], again["updated"]) == ("loaded", 0)
    assert run(database, tmp_path, tmp_path / "tuesday", "delta")["status"] == "unchanged"
    assert_reproducible(database, tmp_path, again["run_id"])


@pytest.mark.usefixtures("store")
def test_layers_are_compacted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delta reads what was compacted in place of the layers, from which a load is still computed."""
    monkeypatch.setattr(compaction, "MOST_LAYERS", 2)
    unknown = ("201", "12", "1", "5")
    run(database, tmp_path, WHOLE.write(tmp_path / "whole"))
    added = [delta(users=[(str(10 + number), "Ida", "", "2024-01-01")]) for number in range(5)]
    added[0] = delta(users=[("10", "Ida", "", "2024-01-01")], user_experiments=[unknown])
    results = [
        run(database, tmp_path, drop.write(tmp_path / f"delta{number}"), "delta")
        for number, drop in enumerate(added)
    ]
    assert [result["healed"] for result in results] == [0, 0, 1, 0, 0]
    compacted = {}
    for number, result in enumerate(results):
        layers = run_of(database, result["run_id"])["parts"]
        assert len(layers) == number + 2
        compacted[number] = [n for n, layer in enumerate(layers, start=1) if "compacted" in layer]
        assert_reproducible(database, tmp_path, result["run_id"])
    assert compacted == {0: [], 1: [], 2: [3], 3: [3], 4: [5]}
    assert users_of(database) == [1, 2, 3, 10, 11, 12, 13, 14]
    assert lines_of(database, tmp_path, 12) == {("delta0/user_experiments.csv", 2)}

    pipeline = make_pipeline(database, tmp_path / "workspaces")
    with connect(database.url()) as connection:
        parts = parts_of(pipeline, connection)
        lost = find_dependent_loads(connection, parts)
        assert lost == [], "every layer is still there"
        removed = remove_old_parts(connection, parts, 0, lost_loads=lost)
    assert removed == len(TABLES), "what was compacted first"


@pytest.mark.parametrize(
    "trouble",
    first_or_all(
        duckdb.OutOfMemoryException("full"), duckdb.IOException("full"), OSError(ENOSPC, "full")
    ),
    ids=["memory", "written", "system"],
)
def test_what_cannot_be_compacted_is_left_alone(
    trouble: Exception,
    store: Path,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The delta is loaded all the same, and nothing stays that was half written."""
    monkeypatch.setattr(compaction, "MOST_LAYERS", 1)
    run(database, tmp_path, WHOLE.write(tmp_path / "whole"))
    run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")

    def write(_engine: DuckDBEngine, _frame: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise trouble

    monkeypatch.setattr(DuckDBEngine, "write", write)
    run(database, tmp_path, GONE_USER.write(tmp_path / "tuesday"), "delta")
    assert "could not be compacted" in caplog.text
    assert users_of(database) == [2, 3, 9]
    assert not [*store.rglob(".draft-*")]


@pytest.mark.parametrize("kind", first_or_all("lost", "damaged"))
def test_what_is_compacted_may_be_lost(
    kind: str,
    store: Path,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then all layers are read, and compacted anew. A layer may be lost as long as it is not."""
    monkeypatch.setattr(compaction, "MOST_LAYERS", 1)
    run(database, tmp_path, WHOLE.write(tmp_path / "whole"))
    run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")
    run(
        database, tmp_path, delta(users=[("8", "Eve", "", "")]).write(tmp_path / "tuesday"), "delta"
    )
    layers = [*store.rglob("*.parquet")]
    last = run(database, tmp_path, GONE_USER.write(tmp_path / "wednesday"), "delta")
    (compacted,) = run_of(database, last["run_id"])["parts"][-2]["compacted"][:1]
    (file,) = store.rglob(compacted["part"])
    file.unlink() if kind == "lost" else file.write_bytes(b"damaged")
    again = run(
        database, tmp_path, delta(deleted_users=[("2",)]).write(tmp_path / "thursday"), "delta"
    )
    assert "compacted of 3 layers is lost" in caplog.text
    assert users_of(database) == [3, 8, 9]
    assert_reproducible(database, tmp_path, again["run_id"])
    for path in layers:
        path.unlink()
    run(database, tmp_path, delta(deleted_users=[("3",)]).write(tmp_path / "friday"), "delta")
    assert users_of(database) == [8, 9]


@pytest.mark.parametrize(
    "change", first_or_all("changed", "gone", "same size", "no folder", "not allowed")
)
def test_lost_parts_whose_drop_has_changed_refuse_a_delta(
    change: str, store: Path, database: Database, tmp_path: Path
) -> None:
    """A snapshot loads all the same."""
    whole = WHOLE.write(tmp_path / "whole")
    run(database, tmp_path, whole)
    lose("lost", store, "users")
    file = whole / "users.csv"
    if change == "gone":
        file.unlink()
    elif change == "changed":
        file.write_text("nothing of a header")
    elif change == "same size":
        file.write_bytes(file.read_bytes().replace(b"Ann", b"Eve"))
    elif change == "no folder":
        whole.rename(tmp_path / "moved")

    def refuse(source: str) -> Any:
        raise ConfigurationError(f"{source} lies outside")

    options = {"open_source": refuse} if change == "not allowed" else {}
    source = NEW_USER.write(tmp_path / "monday")
    with pytest.raises(PartGone, match=r"whole no longer has this file\. Load a snapshot"):
        run(database, tmp_path, source, "delta", **options)
    assert run(database, tmp_path, WHOLE.write(tmp_path / "new"))["status"] == "loaded"
    assert run(database, tmp_path, source, "delta", **options)["status"] == "loaded"


def test_parts_below_of_another_version(
    store: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones are brought up to date, without their files; newer ones are refused.

    What an older reader made of rows that the delta does not touch is computed again, too.
    """
    for name, drop, mode in (("whole", WHOLE, "snapshot"), ("sunday", GONE_USER, "delta")):
        source = drop.write(tmp_path / name)
        last = run(database, tmp_path, source, mode)  # type: ignore[arg-type]
        source.rename(tmp_path / f"moved_{name}")
    before = features_of(database)
    database.query("update features.user_features set user_name = 'of old' where user_id = 2")
    record_as_left(database, last["run_id"])
    for module in ("reading.new_parts", "store.parts", "load.part_store", "load.before"):
        monkeypatch.setattr(f"experiment_features.{module}.READER_VERSION", 2)
    result = run(database, tmp_path, NEW_USER.write(tmp_path / "monday"), "delta")
    layers = run_of(database, result["run_id"])["parts"]
    assert all(".v2." in part["part"] for layer in layers for part in layer["parts"])
    assert users_of(database) == [2, 3, 9]
    assert features_of(database)[0]["user_name"] == before[0]["user_name"]
    monkeypatch.undo()
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(store))
    with pytest.raises(ConfigurationError, match="does not know: update it"):
        run(database, tmp_path, GONE_USER.write(tmp_path / "tuesday"), "delta")


def test_a_snapshot_and_its_deltas_are_loaded_again(database: Database, tmp_path: Path) -> None:
    """As a backfill does: they replace what they had brought, and give the same."""
    drops = {"20": (WHOLE, "snapshot"), "21": (NEW_USER, "delta"), "22": (GONE_USER, "delta")}
    sources = {name: drop.write(tmp_path / name) for name, (drop, _) in drops.items()}
    for _ in range(2):
        for name, (_, mode) in drops.items():
            assert run(database, tmp_path, sources[name], mode)["status"] == "loaded"  # type: ignore[arg-type]
        assert users_of(database) == [2, 3, 9]


def test_which_drop_deltas_wait_for(database: Database, tmp_path: Path) -> None:
    """The first that did not load, until it does or a snapshot is loaded."""
    monday, tuesday = (str(tmp_path / day) for day in ("monday", "tuesday"))
    pipeline = make_pipeline(database, tmp_path / "workspaces")
    with pytest.raises(DropRefused):  # nothing to build on
        run(database, tmp_path, NEW_USER.write(Path(monday)), "delta")
    failed = pipeline.known_drops.find_failed([tuesday, monday])
    assert failed is not None
    assert (failed.source, failed.status) == (monday, "refused")
    run(database, tmp_path, WHOLE.write(tmp_path / "whole"))
    assert pipeline.known_drops.find_failed([tuesday, monday]) is None
    (Path(monday) / "users.csv").write_text("nothing of a header\n")
    with pytest.raises(DropRefused):
        run(database, tmp_path, Path(monday), "delta")
    assert pipeline.known_drops.find_failed([tuesday, monday]) is not None
    NEW_USER.write(Path(tuesday))
    (Path(tuesday) / "users.csv").replace(Path(monday) / "users.csv")
    run(database, tmp_path, Path(monday), "delta")
    assert pipeline.known_drops.find_failed([tuesday, monday]) is None


def test_what_was_loaded_while_a_delta_waited(
    database: Database, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Only a snapshot counts that was read from a drop: it holds what the failed drop had brought."""
    monday = declare(NEW_USER.write(tmp_path / "monday"), base="unknown")
    with pytest.raises(DropRefused):
        run(database, tmp_path, monday)
    pipeline = make_pipeline(database, tmp_path / "workspaces")
    failed = pipeline.known_drops.find_failed([str(monday)])
    assert failed is not None
    run(database, tmp_path, declare(GONE_USER.write(tmp_path / "tuesday")))
    restore(database, tmp_path, whole["run_id"])
    assert pipeline.known_drops.find_failed([str(monday)]) == failed
    restored = pipeline.known_drops.find_snapshot()
    assert restored is not None
    assert restored.source == whole["source"]
    assert restored.loaded_at == run_of(database, whole["run_id"])["finished_at"]
    run(database, tmp_path, WHOLE.write(tmp_path / "another"))
    assert pipeline.known_drops.find_failed([str(monday)]) is None
    run(database, tmp_path, declare(NEW_USER.write(tmp_path / "wednesday")))
    snapshot = pipeline.known_drops.find_snapshot()
    assert snapshot is not None
    assert snapshot.source == str(tmp_path / "another")
    assert snapshot.loaded_at > restored.loaded_at


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.usefixtures("whole")
def test_what_a_drop_that_did_not_load_stops(
    status: str, database: Database, tmp_path: Path
) -> None:
    """Deltas behind it wait, however it ended or if it has not; not if it had nothing to do."""
    monday = declare(NEW_USER.write(tmp_path / "monday"), base="unknown")
    with pytest.raises(DropRefused):
        run(database, tmp_path, monday)
    database.query(
        "update features.pipeline_runs set status = %s, "
        "finished_at = case when %s <> 'running' then finished_at end where status = 'refused'",
        status,
        status,
    )
    pipeline = make_pipeline(database, tmp_path / "workspaces")
    found = pipeline.known_drops.find_failed([str(monday)])
    expected = status if status != "skipped" else None
    assert (found and found.status) == expected


@pytest.fixture
def deltas(database: Database, whole: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """The runs of two deltas in force, by the names of their folders."""
    drops = {"monday": NEW_USER, "tuesday": GONE_USER}
    return {
        name: run(database, tmp_path, declare(drop.write(tmp_path / name)))["run_id"]
        for name, drop in drops.items()
    } | {"whole": whole["run_id"]}


def test_a_drop_in_force_stops_nothing(
    database: Database, deltas: dict[str, str], tmp_path: Path
) -> None:
    """Though it is refused, forced or not: it had loaded. Once its files are others, it does."""
    monday = tmp_path / "monday"
    pipeline = make_pipeline(database, tmp_path / "workspaces")
    for force in (True, False):
        with pytest.raises(DropRefused, match=f"run {deltas['monday']}, and other deltas"):
            run(database, tmp_path, monday, force=force)
    assert pipeline.known_drops.find_failed([str(monday)]) is None
    declare(monday, base="unknown")  # the manifest alone makes it no other drop
    assert pipeline.known_drops.find_failed([str(monday)]) is None
    whole = tmp_path / "whole"
    (whole / "_READY").write_text("{")
    with pytest.raises(DropRefused):
        run(database, tmp_path, whole)
    failed = pipeline.known_drops.find_failed([str(monday), str(whole)])
    assert failed is not None
    assert failed.source == str(whole)  # it cannot be read
    (monday / "users.csv").write_text("user_id,name,email,signup_date\n9,Ivy,,\n")
    failed = pipeline.known_drops.find_failed([str(monday), str(whole)])
    assert failed is not None
    assert failed.source == str(monday)


def test_a_marker_that_is_touched_again(
    database: Database, deltas: dict[str, str], tmp_path: Path
) -> None:
    """The drop is known by its mode and files, wherever its layer is; the last load's is unchanged."""
    pipeline = make_pipeline(database, tmp_path / "workspaces")

    def earlier(name: str) -> str | None:
        return pipeline.known_drops.find_earlier_load(open_source(str(tmp_path / name)))

    assert {name: earlier(name) for name in deltas} == deltas | {"tuesday": None}
    monday = tmp_path / "monday"
    before = (monday / "users.csv").read_bytes()
    (monday / "users.csv").write_text("user_id,name,email,signup_date\n9,Ivy,,\n")
    assert earlier("monday") is None
    tuesday = run(database, tmp_path, declare(monday, base=deltas["tuesday"]))  # in use again
    assert earlier("monday") is None
    (monday / "users.csv").write_bytes(before)
    assert earlier("monday") == deltas["monday"]
    declare(tmp_path / "whole")  # the same files, but as a delta
    assert earlier("whole") is None
    run(database, tmp_path, WHOLE.write(tmp_path / "another"))
    assert earlier("monday") is None  # it held other files when it was last loaded
    assert earlier("tuesday") == deltas["tuesday"]
    assert tuesday["status"] == "loaded"


def test_deletions_count_for_the_guard(database: Database, tmp_path: Path) -> None:
    """A delta that deletes much is held, and the message repeats how it was declared."""
    users = [(str(number), "Ann", "a@b.c", "2024-01-01") for number in range(1, 41)]
    others = [part for part in WHOLE.parts if part.table != "users"]
    run(database, tmp_path, Drop((rows("users", *users), *others)).write(tmp_path / "whole"))
    much = delta(deleted_users=[(str(number),) for number in range(20, 41)])
    with pytest.raises(LoadHeld, match="with mode delta and max_removed_percent 100"):
        run(database, tmp_path, much.write(tmp_path / "much"), "delta", max_removed_percent=20)
    assert len(users_of(database)) == 40
