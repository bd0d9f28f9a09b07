"""Migrating the schema, and the privileges of the roles."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import psycopg
import pytest

from cases import first_or_all
from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES, Feature
from experiment_features.errors import ConfigurationError, DatabaseRefused
from experiment_features.load import migrate as migrate_module
from experiment_features.load import migrations
from experiment_features.load import views as views_module
from experiment_features.load.database import connect
from experiment_features.load.migrate import migrate
from experiment_features.load.state import _ISSUE_COLUMNS
from experiment_features.run import COMPUTATION
from integration.running import features_of, make_drop, run_drop, run_of
from integration.servers import VERSIONS, Database, Server

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)

VERSIONS_FOLDER = Path(migrations.__file__).parent / "versions"

RELATIONS = {
    "user_features": "r",
    "compound_features": "r",
    "user_features_past": "r",
    "user_features_history": "v",
    "user_feature_report": "v",
    "compound_features_past": "r",
    "compound_features_history": "v",
    "pipeline_runs": "r",
    "part_store": "r",
    "data_issues": "r",
    "latest_data_issues": "v",
    "reported_issues": "v",
    "held_changes": "r",
    "load_changes": "r",
    "users_by_total_experiments": "r",
    "user_words": "r",
    "compound_words": "r",
    "schema_version": "r",
}
DROP = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")])


OLD_VIEWS = Path(__file__).with_name("views_before_0003.sql").read_text()

REVISIONS = sorted(path.stem[:4] for path in VERSIONS_FOLDER.glob("[0-9]*.py"))
DATA = """
insert into features.user_features (user_id, user_name, total_experiments, run_id, updated_at)
values (1, 'Ann', 0, 'old', '2026-01-02');
insert into features.user_features_past
    (user_id, user_name, total_experiments, run_id, valid_from, valid_to)
values (1, 'An', 0, 'old', '2026-01-01', '2026-01-02');
insert into features.pipeline_runs
    (run_id, trigger, source, source_files, parameters, definition_version, status, started_at,
    finished_at)
values ('old', 'cli', 'x', '[]', '{}', 1, 'loaded', '2026-01-01', '2026-01-02');
insert into features.compound_features
values (1, 'Water', 9, 1, 'old', '2026-01-02')
"""
"""Rows for the first revision, which all later ones must keep."""

OVERLAPPING = """
insert into features.user_features_past
    (user_id, user_name, total_experiments, run_id, valid_from, valid_to)
values (1, 'An', 0, 'old', '2025-12-31', '2026-01-01 01:00')
"""
"""A period that begins before the one in DATA ends."""

RUNS = """
insert into features.pipeline_runs
    (run_id, trigger, source, source_files, parameters, definition_version, status, started_at,
    finished_at)
select run_id, 'cli', 'x', '[]', '{}', 1, status, finished_at, finished_at
from (
    values
    ('rejected', 'rejected', timestamptz '2026-01-03'), ('last', 'loaded', '2026-01-04')
) as runs (run_id, status, finished_at);
insert into features.data_issues
select run_id, 'error', 'users', 'users.csv', 2, 'name_missing', 'name', null, 'x', '{}'
from features.pipeline_runs
"""
"""Further runs, each with an issue, for revisions before an issue was stored once."""


@pytest.fixture
def empty(server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without the schema, owned by keeper."""
    with server.database(f"empty_{id(request)}", template="template1") as database:
        yield database


def processes() -> ProcessPoolExecutor:
    """Returns a pool of two processes, since Alembic can only run one migration per process."""
    return ProcessPoolExecutor(2, get_context("spawn"))


def relations_of(database: Database) -> dict[str, str]:
    """Returns the relations of the schema and their kinds."""
    rows = database.query(
        "select relname, relkind::text from pg_class where relnamespace = 'features'::regnamespace "
        "and relkind in ('r', 'v') order by 1"
    )
    return {row["relname"]: row["relkind"] for row in rows}


class TestMigrate:
    """Migration from any state, by various users, alone or concurrently."""

    @every_version
    def test_creates_the_schema_once(self, empty: Database) -> None:
        """The owner of the database can migrate; a second time changes nothing."""
        revision = migrate(empty.url("keeper"))
        made = empty.query("select oid, relname from pg_class where relname = 'user_features'")
        assert relations_of(empty) == dict(sorted(RELATIONS.items()))
        assert migrate(empty.url("keeper")) == revision
        again = empty.query("select oid, relname from pg_class where relname = 'user_features'")
        assert again == made

    def test_keeps_the_data(self, database: Database, tmp_path: Path) -> None:
        """Migrating a database in use loses nothing."""
        run_drop(database, DROP.write(tmp_path / "drop"), max_rejected_percent=50)
        migrate(database.url("keeper"))
        assert database.value("select count(*) from features.user_features") == 1
        assert database.value("select count(*) from features.data_issues") == 1

    @pytest.mark.parametrize(
        "revision",
        first_or_all(*REVISIONS),
    )
    def test_upgrades_every_revision_with_its_data(
        self, revision: str, empty: Database, tmp_path: Path
    ) -> None:
        """A database of any revision is upgraded with its rows and can then be loaded."""
        migrate(empty.url("keeper"), revision)
        if revision < "0003":
            empty.query(OLD_VIEWS, user="keeper")
        empty.query(DATA)
        if revision < "0005":
            empty.query(RUNS)
        migrate(empty.url("keeper"))
        assert [row["user_name"] for row in features_of(empty)] == ["Ann"]
        assert [row["user_name"] for row in features_of(empty, "user_features_history")] == [
            "An",
            "Ann",
        ]
        counts = features_of(empty, "users_by_total_experiments")
        assert counts == ([{"total_experiments": 0, "users": 1}] if revision < "0002" else [])
        for table, word in (("user_words", "ann"), ("compound_words", "water")):
            words = [row["name_from"] for row in features_of(empty, table)]
            assert words == ([word] if revision < "0009" else [])
        closed_by = {row["found_by"]: row["closed_by"] for row in features_of(empty, "data_issues")}
        assert closed_by == (
            {"old": "last", "rejected": "rejected", "last": None} if revision < "0005" else {}
        )
        is_new = revision < "0010"
        changes = [tuple(row.values()) for row in features_of(empty, "load_changes")]
        of_old = [
            ("old", "compounds", 1, 0, 0, [1], [1]),
            ("old", "users", 0, 1, 0, [], [1]),
        ]
        assert sorted(changes) == of_old * is_new
        loaded_at = run_of(empty, "old")["loaded_at"]
        assert loaded_at == (features_of(empty)[0]["updated_at"] if is_new else None)
        with pytest.raises(psycopg.errors.ExclusionViolation):
            empty.query(OVERLAPPING)
        began = empty.value("select updated_at from features.compound_features")
        if revision < "0005":
            assert {run_of(empty, "last")[name] for name in COMPUTATION} == {None}
        source = DROP.write(tmp_path / "drop")
        loaded = run_drop(empty, source, max_rejected_percent=50)
        assert loaded["updated"] == 1
        run = run_of(empty, loaded["run_id"])
        assert None not in {run[name] for name in COMPUTATION}
        assert len(features_of(empty, "user_features_history")) == 3
        (first, second, *_) = features_of(empty, "compound_features_history")
        assert (first["run_id"], first["valid_from"]) == ("old", began)
        assert (second["run_id"], second["valid_from"]) == (loaded["run_id"], first["valid_to"])
        (issue,) = features_of(empty, "latest_data_issues")
        assert (issue["run_id"], issue["found_by"]) == (loaded["run_id"],) * 2
        counts = features_of(empty, "users_by_total_experiments")
        assert counts == [{"total_experiments": 1, "users": 1}]

    def test_several_at_once(self, server: Server) -> None:
        """Concurrent migrations work, both of the same database and of two."""
        with (
            server.database("at_once_1", "template1") as one,
            server.database("at_once_2", "template1") as two,
            processes() as pool,
        ):
            urls = [database.url("keeper") for database in (one, two) * 2]
            assert len(set(pool.map(migrate, urls))) == 1
            assert relations_of(one) == relations_of(two) != {}

    def test_creates_missing_roles(self) -> None:
        """On a fresh server, migrating two databases at once creates the roles once."""
        server = Server("18", template=False)
        try:
            with (
                server.database("one", "template1") as one,
                server.database("two", "template1") as two,
                processes() as pool,
            ):
                list(pool.map(migrate, [one.url("keeper"), two.url("keeper")]))
                assert (
                    one.value(
                        "select count(*) from pg_roles where rolname like 'features!_%' escape '!'"
                    )
                    == 3
                )
        finally:
            server.close()

    def test_limits_the_readers_connections_once(self) -> None:
        """The reader leaves half of the connections to others; a limit that was set stays."""
        server = Server("18", template=False)
        limit = "select rolconnlimit from pg_roles where rolname = 'features_reader'"
        try:
            with server.database("one", "template1") as one:
                one.query("create role features_reader nologin")
                one.query("grant features_reader to keeper with admin option")
                migrate(one.url("keeper"))
                assert one.value(limit) == int(one.value("show max_connections")) // 2
                one.query("alter role features_reader connection limit 7")
                migrate(one.url("keeper"))
                assert one.value(limit) == 7
        finally:
            server.close()

    def test_needs_no_right_to_create_existing_roles(self, empty: Database) -> None:
        """If the roles exist, only ownership of the database is needed to migrate."""
        empty.query(f"alter database {empty.name} owner to stranger")
        migrate(empty.url("stranger"))
        assert relations_of(empty) == dict(sorted(RELATIONS.items()))

    def test_says_who_should_migrate(self, empty: Database) -> None:
        """A user who may not create the schema gets an error that says who may."""
        with pytest.raises(DatabaseRefused, match=r"permission denied.*Migrate as the owner of"):
            migrate(empty.url("etl"))
        assert empty.value("select count(*) from pg_namespace where nspname = 'features'") == 0

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (
                "alter table {}.pipeline_runs rename today to day",
                "Missing: column pipeline_runs.today date. Unknown: pipeline_runs.day date.",
            ),
            (
                "alter table {}.user_features rename total_experiments to n",
                "user_features.total_experiments bigint not null. Unknown: user_features.n bigint",
            ),
            (
                "alter table {}.compound_features alter compound_name drop not null",
                "compound_name text not null. Unknown: compound_features.compound_name text.",
            ),
            ("drop table {}.held_changes", "Missing: table held_changes. Unknown: nothing"),
            (
                "alter table {}.user_features drop constraint user_id_is_positive",
                "constraint user_features.user_id_is_positive CHECK ((user_id > 0)). Unknown: no",
            ),
            (
                "drop index {}.user_features_by_experiments",
                "index user_features_by_experiments ON features.user_features USING btree (total",
            ),
            (
                "alter table {}.pipeline_runs alter inserted set default 7",
                "Unknown: pipeline_runs.inserted bigint not null default 7.",
            ),
            (
                "alter table {}.pipeline_runs alter notices drop default",
                "Missing: column pipeline_runs.notices text[] not null default '{{}}'::text[].",
            ),
            (
                "alter table {}.held_changes alter id add generated always as identity",
                "Unknown: held_changes.id bigint not null generated as identity.",
            ),
            (
                "alter table {}.held_changes drop name, add name text generated always as ('x') stored",
                "name text not null. Unknown: held_changes.name text generated as 'x'::text.",
            ),
            (
                "alter table {}.held_changes set unlogged",
                "Missing: persistence held_changes logged. Unknown: held_changes unlogged.",
            ),
            (
                "alter table {}.user_features_past disable trigger periods_do_not_overlap_insert",
                "Missing: trigger CREATE TRIGGER periods_do_not_overlap_insert AFTER INSERT ON ",
            ),
            (
                "alter table {}.pipeline_runs disable trigger all",
                "DELETE CASCADE not enabled.",
            ),
            (
                "create or replace function {}.refuse_overlaps() returns trigger language plpgsql as 'begin end'",
                "Missing: trigger CREATE TRIGGER periods_do_not_overlap_insert AFTER INSERT ON ",
            ),
        ],
        ids=[
            "column",
            "feature",
            "null",
            "table",
            "constraint",
            "index",
            "default",
            "no default",
            "identity",
            "generated",
            "unlogged",
            "trigger",
            "foreign key",
            "function",
        ],
    )
    def test_names_what_somebody_has_changed(
        self, change: str, named: str, database: Database
    ) -> None:
        """A table that is not what the revisions make of it is named, and left as it is."""
        database.query(change.format("features"))
        before = relations_of(database)
        with pytest.raises(DatabaseRefused) as caught:
            migrate(database.url("keeper"))
        assert named.format() in str(caught.value)
        assert "migrate again" in str(caught.value)
        assert relations_of(database) == before

    def test_two_revisions_are_refused(self, database: Database) -> None:
        """As after the data of an older schema have been restored into a newer one."""
        database.query("insert into features.schema_version values ('0010')")
        with pytest.raises(DatabaseRefused, match="schema_version should have one row"):
            migrate(database.url("keeper"))

    def test_a_schema_without_its_revision_is_refused(self, database: Database) -> None:
        """As after a dump of the schema alone; the message says how to start anew."""
        database.query("delete from features.schema_version")
        with pytest.raises(DatabaseRefused, match=r"already exists, .*`drop schema features"):
            migrate(database.url("keeper"))
        database.query("drop schema features cascade")
        migrate(database.url("keeper"))

    def test_leaves_what_others_have_added(self, database: Database) -> None:
        """Columns, indexes and tables of the laboratory's own stay."""
        database.query("alter table features.user_features add column note text")
        database.query("create index by_note on features.user_features (note)")
        database.query("create table features.mine (id bigint)")
        migrate(database.url("keeper"))
        assert set(relations_of(database)) == {*RELATIONS, "mine"}

    def test_waits_for_a_load(self, database: Database) -> None:
        """Schema and features never change at the same time."""
        with database.connect("etl") as loading, ThreadPoolExecutor() as threads:
            loading.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
            migrating = threads.submit(migrate, database.url("keeper"))
            with pytest.raises(TimeoutError):
                migrating.result(timeout=1)
            loading.rollback()
            assert migrating.result(timeout=30)

    def test_refuses_a_schema_of_a_newer_version(self, database: Database) -> None:
        """A schema of an unknown, newer revision is left alone."""
        database.query("update features.schema_version set version_num = '9999'")
        with pytest.raises(
            DatabaseRefused, match=r"9999.*A newer version of this program migrated it"
        ):
            migrate(database.url("keeper"))


READER_MAY = [
    "select * from features.user_features",
    "select * from features.compound_features",
    "select * from features.user_features_history",
    "select * from features.compound_features_history",
    "select * from features.user_features_as_of(now())",
    "select * from features.user_feature_report",
    "select run_id, status, task, error, error_line, notices from features.pipeline_runs",
    "select * from features.held_changes",
    "select * from features.load_changes",
    "select * from features.reported_issues",
    "select * from features.users_by_total_experiments",
    "select run_id, severity, table_name, row_id, file_name, line_number, rule, column_name, message, found_by, closed_by from features.data_issues",
    "select run_id, severity, table_name, row_id, file_name, line_number, rule, column_name, message, found_by, closed_by from features.latest_data_issues",
]
READER_MAY_NOT_SEE = [
    "select raw_row from features.data_issues",
    "select value from features.data_issues",
    "select * from features.data_issues",
    "select raw_row from features.latest_data_issues",
    "select value from features.latest_data_issues",
    "select message from features.pipeline_runs",
    "select * from features.pipeline_runs",
]
READER_MAY_NOT = [
    *READER_MAY_NOT_SEE,
    "insert into features.compound_features values (9, 'x', 0, 0, 'x', now())",
    "update features.user_features set user_name = 'x'",
    "delete from features.user_features",
    "delete from features.pipeline_runs",
    "truncate features.user_features",
    "create table features.mine (id int)",
    "drop view features.user_feature_report",
]
WRITER_MAY_NOT = [
    "update features.user_features_past set user_name = 'x'",
    "delete from features.user_features_past",
    "update features.compound_features_past set compound_name = 'x'",
    "delete from features.compound_features_past",
    "update features.data_issues set raw_row = '{}'",
    "update features.pipeline_runs set users = 0",
    "update features.held_changes set name = 'x'",
    "update features.load_changes set inserted_ids = '{}'",
    "update features.schema_version set version_num = 'x'",
    "truncate features.user_features",
    "create table features.mine (id int)",
    "alter table features.user_features add column mine int",
    "drop table features.data_issues",
    "drop schema features cascade",
]


STEWARD_MAY = [
    *READER_MAY,
    "select * from features.latest_data_issues",
    "select message from features.pipeline_runs",
    "select raw_row, value from features.data_issues",
]


class TestRoles:
    """What the reader, the steward and the writer may do."""

    @pytest.mark.parametrize("statement", READER_MAY)
    def test_the_reader_reads(self, statement: str, empty_database: Database) -> None:
        """The reader can read features, history, runs and issues, but not raw values."""
        empty_database.query(statement, user="analyst")

    @pytest.mark.parametrize("statement", READER_MAY_NOT)
    def test_the_reader_does_no_more(self, statement: str, empty_database: Database) -> None:
        """The reader can neither see raw rows nor write."""
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            empty_database.query(statement, user="analyst")

    def test_the_steward_also_sees_what_may_quote_a_row(self, empty_database: Database) -> None:
        """The steward reads raw rows, values and messages, but writes nothing."""
        for statement in STEWARD_MAY:
            empty_database.query(statement, user="steward")
        for statement in READER_MAY_NOT[len(READER_MAY_NOT_SEE) :]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                empty_database.query(statement, user="steward")

    def test_what_everyone_may_read_hides_what_readers_may_not(self, database: Database) -> None:
        """Administrators often let everyone read all tables, which a migration undoes."""
        database.query("grant select on all tables in schema features to public")
        migrate(database.url("keeper"))
        for statement in READER_MAY_NOT_SEE:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.query(statement, user="analyst")

    @pytest.mark.parametrize("statement", WRITER_MAY_NOT)
    def test_the_writer_only_loads(self, statement: str, empty_database: Database) -> None:
        """The writer can create and drop nothing, and cannot change the history."""
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            empty_database.query(statement, user="etl")

    @pytest.mark.parametrize("statement", [*READER_MAY, *READER_MAY_NOT])
    def test_others_see_nothing(self, statement: str, empty_database: Database) -> None:
        """Without a role, nothing can be read or written."""
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            empty_database.query(statement, user="stranger")

    @every_version
    def test_the_writer_needs_nothing_from_public(self, database: Database, tmp_path: Path) -> None:
        """Loads work even if administrators revoke everything from public."""
        database.query(f"revoke all on database {database.name} from public")
        database.query(f"grant connect on database {database.name} to etl")
        database.query("revoke all on schema public from public")
        # Copies of a database do not inherit this grant of the migration.
        database.query(f"grant temporary on database {database.name} to features_writer")
        source = DROP.write(tmp_path / "drop")
        assert run_drop(database, source, max_rejected_percent=50)["inserted"] == 1


class TestViews:
    """Views and functions follow definitions.py, and users' own views on them survive."""

    def test_a_new_feature_comes_last(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An upgrade adds a new feature after the existing columns."""
        run_drop(database, DROP.write(tmp_path / "drop"), max_rejected_percent=50)
        database.query("create view public.mine as select * from features.user_feature_report")
        feature = Feature("last_experiment_id", "bigint", "The highest id of an experiment.")
        more = replace(USER_FEATURES, features=(*USER_FEATURES.features, feature))
        monkeypatch.setattr(views_module, "USER_FEATURES", more)
        for module in (migrate_module, views_module):
            monkeypatch.setattr(module, "RELATIONS", (more, COMPOUND_FEATURES))
        migrate(database.url("keeper"))
        for view in (USER_FEATURES.history, "user_feature_report"):
            (row,) = features_of(database, view)
            assert list(row)[-1] == "last_experiment_id"
        (row,) = database.query("select * from features.user_features_as_of(now())")
        assert list(row)[-1] == "last_experiment_id"
        assert len(database.query("select * from public.mine")) == 1

    def test_are_left_alone_while_they_are_as_defined(self, database: Database) -> None:
        """A migration that changes no view need not wait for sessions that read one."""
        with database.connect("analyst") as reader:
            reader.execute("select * from features.user_feature_report")
            migrate(database.url("keeper"))

    @pytest.mark.parametrize(
        "drop",
        [
            "drop function features.user_features_as_of",
            "drop view features.user_feature_report",
            "drop view features.user_features_history cascade",
            "drop view features.compound_features_history",
            "drop view features.latest_data_issues",
        ],
    )
    def test_what_was_dropped_is_created_again(self, drop: str, database: Database) -> None:
        """A view or function that somebody dropped is there again after a migration."""
        database.query(drop)
        migrate(database.url("keeper"))
        for query in READER_MAY:
            database.query(query, user="analyst")

    def test_what_was_changed_is_as_defined_again(self, database: Database) -> None:
        """A view or function that somebody has replaced is as defined after a migration."""
        database.query(
            "create or replace view features.user_feature_report as select user_id, user_name, "
            "total_experiments, 0.0::float8 as average_experiments_per_user, "
            "average_experiment_run_time, average_compounds_per_experiment, "
            "most_common_compound_id, most_common_compound_name, "
            "most_common_compound_experiments, most_common_compound_ids, run_id, updated_at "
            "from features.user_features"
        )
        migrate(database.url("keeper"))
        definition = database.value(
            "select pg_get_viewdef('features.user_feature_report'::regclass)"
        )
        assert "pipeline_runs" in definition
        options = "select reloptions from pg_class where relname = 'user_feature_report'"
        database.query("alter view features.user_feature_report set (security_invoker = true)")
        assert database.value(options)
        migrate(database.url("keeper"))
        assert database.value(options) is None

    @pytest.mark.parametrize(
        ("what", "anew"),
        [
            ("view {}.user_feature_report", "as select *, 1 as extra from features.user_features"),
            ("view {}.user_feature_report", "as select user_id::text from features.user_features"),
            ("view {}.user_features_history", "as select 1 as extra, 2 as user_id"),
            ("view {}.latest_data_issues", "as select 7 as run_id"),
            (
                "function {}.user_features_as_of(at timestamptz)",
                "returns int language sql as 'select 1'",
            ),
        ],
        ids=["extra", "type", "history", "issues", "function"],
    )
    def test_what_cannot_be_replaced_is_created_anew(
        self, what: str, anew: str, database: Database
    ) -> None:
        """A view with other columns, or a function with another result, is put right as well."""
        columns = "select relname, attname from pg_attribute, pg_class where attrelid = "
        columns += "pg_class.oid and relkind = 'v' and relnamespace = 'features'::regnamespace "
        before = database.query(f"{columns} order by relname, attnum")
        what = what.format("features")
        database.query(f"drop {what} cascade; create {what} {anew}", user="keeper")
        migrate(database.url("keeper"))
        assert database.query(f"{columns} order by relname, attnum") == before
        for query in READER_MAY:
            database.query(query, user="analyst")

    @pytest.mark.parametrize(
        ("what", "instead", "named"),
        [
            (
                "view {}.user_feature_report",
                """view {0}.user_feature_report as select 1 as extra;
                create view public.mine as select * from {0}.user_feature_report""",
                """, and cannot be put right because of what others have built on it (view
                public.mine depends on view {}.user_feature_report): drop that, migrate again""",
            ),
            (
                "view {}.user_feature_report",
                "table {}.user_feature_report (id int)",
                """: "user_feature_report" is not a view. Rename or drop what has its place, and
                migrate again""",
            ),
            (
                "view {}.latest_data_issues",
                "materialized view {}.latest_data_issues as select 7 as run_id",
                ': "latest_data_issues" is not a view.',
            ),
            (
                "function {}.user_features_as_of(timestamptz)",
                "procedure {}.user_features_as_of(timestamptz) language sql as ''",
                ": {}.user_features_as_of(timestamp with time zone) is not a function.",
            ),
        ],
        ids=["dependent", "table", "materialized", "procedure"],
    )
    def test_what_cannot_be_put_right_is_named(
        self, what: str, instead: str, named: str, database: Database
    ) -> None:
        """With what to do first."""
        what, instead, named = (text.format("features") for text in (what, instead, named))
        database.query(f"drop {what}; create {instead}", user="keeper")
        before = relations_of(database)
        with pytest.raises(DatabaseRefused) as caught:
            migrate(database.url("keeper"))
        assert f"{what} was changed by hand{' '.join(named.split())}" in str(caught.value)
        assert relations_of(database) == before

    def test_does_not_advise_itself(self, empty: Database) -> None:
        """A revision that lacks what somebody has dropped says so."""
        migrate(empty.url("keeper"), "0003")
        empty.query("drop table features.pipeline_runs cascade")
        with pytest.raises(DatabaseRefused, match=r"pipeline_runs.* does not exist.*change them"):
            migrate(empty.url("keeper"))

    def test_a_function_of_the_same_name_does_no_harm(self, database: Database) -> None:
        """Ours is the one that takes a time."""
        database.query(
            "create function features.user_features_as_of(int) returns int language sql as "
            "'select 1'"
        )
        migrate(database.url("keeper"))
        database.query("select * from features.user_features_as_of(now())", user="analyst")

    def test_columns_of_others_are_not_shown(self, database: Database) -> None:
        """Readers and views have those that the revisions made."""
        for table in ("pipeline_runs", "data_issues"):
            database.query(f"alter table features.{table} add column mine text")
            database.query(f"grant select (mine) on features.{table} to features_reader")
        migrate(database.url("keeper"))
        (row,) = database.query(
            "select count(*) from pg_attribute where attname = 'mine' and "
            "attrelid = 'features.latest_data_issues'::regclass"
        )
        assert row["count"] == 0
        for query in READER_MAY:
            database.query(query, user="analyst")
        select = "select mine from features.{}"
        for table in ("pipeline_runs", "data_issues"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.query(select.format(table), user="analyst")

    def test_every_column_of_an_issue_is_hashed(self, database: Database) -> None:
        """So that what is changed by hand is noticed; closed_by is null in all open issues."""
        with connect(database.url("keeper")) as owner:
            row = owner.execute("select * from features.latest_data_issues").description or []
        assert {column.name for column in row} == {*_ISSUE_COLUMNS, "closed_by"}

    def test_grants_are_repeated(self, database: Database) -> None:
        """Migrating restores grants that were revoked."""
        database.query("revoke select on features.user_features from features_reader")
        migrate(database.url("keeper"))
        database.query("select * from features.user_features", user="analyst")


def test_the_schema_survives_a_dump(database: Database, tmp_path: Path) -> None:
    """A restored dump has the same data and functions and can be loaded."""
    run_drop(database, DROP.write(tmp_path / "drop"), max_rejected_percent=50)
    programs = database.server.programs
    dump = subprocess.run(
        [programs / "pg_dump", "--dbname", database.url("postgres")],
        check=True,
        capture_output=True,
        text=True,
    )
    with database.server.database("restored", "template1") as restored:
        subprocess.run(
            [programs / "psql", "-qXv", "ON_ERROR_STOP=1", "--dbname", restored.url("postgres")],
            input=dump.stdout,
            check=True,
            capture_output=True,
            text=True,
        )
        query = "select * from features.user_features_as_of(now())"
        assert restored.query(query) == database.query(query) != []
        with pytest.raises(ConfigurationError, match=r"is a copy of another one.*--adopt-store"):
            run_drop(restored, tmp_path / "drop", max_rejected_percent=50)
        migrate(restored.url("postgres"), adopt_store=True)
        again = run_drop(restored, tmp_path / "drop", max_rejected_percent=50)
        assert again["status"] == "unchanged"
