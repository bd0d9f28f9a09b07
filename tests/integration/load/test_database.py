"""The kinds of connection errors, and what a session does not depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from experiment_features.errors import DatabaseRefused, DatabaseUnavailable
from experiment_features.load.database import connect
from experiment_features.load.ledger import find_last_load
from experiment_features.load.migrate import migrate
from features_airflow.features_db import open_features_db
from features_page.connection import open_reader
from integration.running import compute_drop, features_of, make_drop, make_pipeline, run_drop
from integration.servers import VERSIONS, Database, Server

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)


class TestConnect:
    """Connection errors are terminal or transient."""

    @pytest.mark.parametrize(
        ("user", "password", "message"),
        [
            ("locked", "wrong", 'password authentication failed for user "locked"'),
            ("locked", "", "no password supplied"),
            ("nobody_there", "", 'role "nobody_there" does not exist'),
            ("features_reader", "", 'role "features_reader" is not permitted to log in'),
        ],
    )
    @every_version
    def test_a_wrong_login_is_refused(
        self, user: str, password: str, message: str, database: Database
    ) -> None:
        """A failed login is terminal, and the message does not repeat the password."""
        with pytest.raises(DatabaseRefused, match=message) as caught:
            connect(database.url(user, password))
        assert "Check host, database, user and password" in str(caught.value)
        assert "wrong" not in str(caught.value)

    def test_the_right_password_works(self, database: Database) -> None:
        """The right password works, so the failures above are due to the wrong one."""
        connect(database.url("locked", "right")).close()

    @every_version
    def test_a_missing_database_is_refused(self, server: Server) -> None:
        """A missing database is terminal."""
        with pytest.raises(DatabaseRefused, match='database "nothing_there" does not exist'):
            connect(server.url("nothing_there", "etl"))

    def test_a_forbidden_database_is_refused(self, database: Database) -> None:
        """Missing the right to connect is terminal."""
        database.query(f"revoke connect on database {database.name} from public")
        with pytest.raises(DatabaseRefused, match=r"permission denied for database"):
            connect(database.url("stranger"))

    @pytest.mark.parametrize(
        "url",
        [
            "postgres//etl:secret@host/x",
            "etl:secret@host",
            "postgresql://etl:se@cret@127.0.0.1:9/x",
            "postgresql://etl:se/cret@127.0.0.1:9/x",
            "postgresql://etl:12/cret@127.0.0.1:9/x",
            "postgresql://etl:se%zzcret@127.0.0.1:9/x",
            "postgresql://etl:secret",
        ],
    )
    def test_a_broken_url_is_refused_without_repeating_it(self, url: str) -> None:
        """The message shows nothing of the password, as that of libpq would."""
        with pytest.raises(DatabaseRefused, match="percent-encoded, as %40 and %2F") as caught:
            connect(url)
        assert str(caught.value).startswith("the database URL is not valid")
        assert not any(part in str(caught.value) for part in ("se@", "cret", "etl", "127"))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @pytest.mark.parametrize("url", ["postgresql://etl:p%40%2F@{}", "host={} password=p@ss"])
    def test_a_valid_url_is_not(self, url: str) -> None:
        """An encoded password, a folder with an @ and other spellings are as good."""
        host = "/no/wh@re" if url.startswith("host") else "/x?host=/no/wh@re"
        with pytest.raises(DatabaseUnavailable, match="/no/wh@re"):
            connect(url.format(host))

    @pytest.mark.parametrize("host", ["db..example.org", f"{'a' * 64}.example.org"])
    def test_a_host_that_cannot_exist_is_refused(self, host: str) -> None:
        """Its name cannot even be looked up."""
        with pytest.raises(DatabaseRefused, match=r"no host can have this name \(.* label"):
            connect(f"postgresql://etl@{host}/x")

    @pytest.mark.parametrize("host", ["/nowhere", "127.0.0.1:9"])
    def test_an_absent_server_is_transient(self, host: str) -> None:
        """A server that cannot be reached may come back."""
        url = f"postgresql://etl@{host}/x" if ":" in host else f"postgresql://etl@/x?host={host}"
        with pytest.raises(DatabaseUnavailable, match="cannot connect to the database"):
            connect(url)

    def test_a_full_server_is_transient(self, database: Database) -> None:
        """Too many connections is transient, because others will end."""
        database.query("alter role stranger connection limit 0")
        try:
            with pytest.raises(DatabaseUnavailable, match="too many connections"):
                connect(database.url("stranger"))
        finally:
            database.query("alter role stranger connection limit -1")

    def test_a_restarting_server_is_transient(self) -> None:
        """A server that crashed is transient, and can be used once restarted."""
        server = Server("18")
        try:
            with server.database("x") as database:
                database.query("create table many as select generate_series(1, 300000) as i")
                server.stop("immediate")
                with pytest.raises(DatabaseUnavailable, match=r"No such file|Connection refused"):
                    connect(database.url())
                server.start()
                connect(database.url()).close()
        finally:
            server.close()


@contextmanager
def in_encoding(server: Server, encoding: str) -> Iterator[Database]:
    """A database without the schema in an encoding."""
    name = f"in_{encoding.lower()}"
    with server.connect("postgres", autocommit=True) as connection:
        statement = "create database {} owner keeper template template0 encoding {} locale 'C'"
        connection.execute(sql.SQL(statement).format(sql.Identifier(name), encoding))
        yield Database(server, name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


DROP = make_drop(
    {1: "Zoë", 2: "実験", 3: "é\\'x"},
    [(1, "1", "0.1"), (1, "2", "0.1"), (1, "2", "0.2"), (2, "3", "7")],
)
CHANGED = make_drop({1: "Zoë", 2: "実験"}, [(1, "1", "0.1")])

SETTINGS = {
    "client_encoding": "LATIN1",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "America/Caracas",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "search_path": "misleading, pg_catalog",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "1000",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1000",
    "idle_session_timeout": "1000",
    "transaction_timeout": "1000",
}
"""Every setting that the product sets for itself, and a value that does harm."""


def figures(database: Database, relation: str) -> list[dict[str, Any]]:
    """The rows of a relation without its runs and times."""
    left_out = {"run_id", "updated_at", "valid_from", "valid_to"}
    rows = features_of(database, relation)
    return [{name: v for name, v in row.items() if name not in left_out} for row in rows]


@pytest.fixture
def misled(database: Database) -> Database:
    """A database in which all settings of the user who loads are others."""
    database.query("create schema misleading")
    database.query(
        "create function misleading.max(timestamptz) returns timestamptz language sql "
        "as 'select null::timestamptz'"
    )
    database.query("grant usage on schema misleading to public")
    for name, value in SETTINGS.items():
        setting = sql.SQL("alter role etl in database {} set {} to {}").format(
            sql.Identifier(database.name),
            sql.Identifier(name),
            sql.SQL(value) if name == "search_path" else sql.Literal(value),
        )
        database.query(setting)
    return database


class TestSession:
    """A session's meaning does not depend on environment, role, database or server."""

    def test_settings_of_the_role_change_nothing(self, misled: Database, tmp_path: Path) -> None:
        """What is stored and read is the same, to the last digit."""
        first = run_drop(misled, DROP.write(tmp_path / "drop"))
        again = run_drop(misled, tmp_path / "drop")
        assert (first["inserted"], again["status"]) == (3, "unchanged")
        assert again["average_experiments_per_user"] == 4 / 3
        users = figures(misled, "user_features")
        assert [user["user_name"] for user in users] == ["Zoë", "実験", "é\\'x"]
        assert users[0]["average_experiment_run_time"] == 0.4 / 3
        second = run_drop(misled, CHANGED.write(tmp_path / "changed"))
        assert [second[name] for name in ("updated", "deleted", "unchanged")] == [2, 1, 0]
        assert len(figures(misled, "user_features_history")) == 5

    @pytest.mark.parametrize(
        "create",
        [
            "create function public.unnest(text[]) returns setof text {raise}",
            """create function public.joined(bigint, bigint) returns text {raise};
            create operator public.|| (leftarg = bigint, rightarg = bigint, function = public.joined)""",
        ],
    )
    def test_neither_do_functions_of_others(
        self, create: str, database: Database, tmp_path: Path
    ) -> None:
        """Nobody's code is run whose arguments fit better than those of PostgreSQL's own."""
        database.query("grant create on schema public to stranger")
        body = "language plpgsql as 'begin raise ''called by %'', current_user; end'"
        database.query(create.replace("{raise}", body), user="stranger")
        assert run_drop(database, DROP.write(tmp_path / "drop"))["status"] == "loaded"
        assert migrate(database.url("keeper"))

    def test_a_trigger_that_needs_another_search_path_is_named(
        self, database: Database, tmp_path: Path
    ) -> None:
        """The message says whose fault it is; with its own search path, the trigger works."""
        database.query(
            """create table public.audit (name text);
            grant insert on public.audit to etl;
            create function public.note() returns trigger language plpgsql
            as 'begin insert into audit values (new.user_name); return new; end';
            create trigger note after insert on features.user_features
            for each row execute function public.note()"""
        )
        drop = DROP.write(tmp_path / "drop")
        with pytest.raises(DatabaseRefused, match=r'"audit" .* by public.note\(\), a function of'):
            run_drop(database, drop)
        database.query("alter function public.note() set search_path = public")
        assert run_drop(database, drop)["status"] == "loaded"
        assert database.value("select count(*) from public.audit") == 3

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PGCLIENTENCODING", "LATIN1"),
            ("PGOPTIONS", "-c client_encoding=LATIN1 -c datestyle=German"),
            ("PGDATESTYLE", "Postgres"),
        ],
    )
    def test_neither_does_the_environment(
        self,
        name: str,
        value: str,
        database: Database,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The same holds for libpq's variables."""
        monkeypatch.setenv(name, value)
        run_drop(database, DROP.write(tmp_path / "drop"))
        assert run_drop(database, tmp_path / "drop")["status"] == "unchanged"
        monkeypatch.delenv(name)
        names = [user["user_name"] for user in features_of(database)]
        assert names == ["Zoë", "実験", "é\\'x"]

    def test_every_connection_sets_all(
        self, misled: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connections of tasks, page and command line do so alike."""
        url = misled.url()
        for name in ("FEATURES_DB", "FEATURES_DB_READER"):
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", url.replace("postgresql", "postgres", 1))
        query = "select name, setting from pg_settings where name = any(%s)"
        with open_features_db() as of_task, connect(url) as of_command, open_reader() as of_page:
            found = [
                {name.lower(): value for name, value in session.execute(query, [names])}
                for session in (of_task, of_command, of_page)
                for names in [[*SETTINGS, "DateStyle", "IntervalStyle", "TimeZone"]]
            ]
        assert found[0] == found[1]
        of_reader = {"statement_timeout": "10000", "idle_in_transaction_session_timeout": "60000"}
        assert found[2] == found[0] | of_reader
        assert found[2]["timezone"] == "UTC"
        assert set(found[0]) == set(SETTINGS)
        assert not found[0].items() & SETTINGS.items()

    @pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
    def test_rows_are_tuples_whatever_cursor_the_connection_names(
        self, cursor: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The extra `cursor`, which Airflow documents, is for queries of other DAGs."""
        uri = f"{database.url().replace('postgresql', 'postgres', 1)}&cursor={cursor}"
        monkeypatch.setenv("AIRFLOW_CONN_FEATURES_DB", uri)
        with open_features_db() as connection:
            assert find_last_load(connection) is None

    def test_a_database_without_encoding_is_refused(self, server: Server) -> None:
        """The meaning of its bytes is unknown."""
        with in_encoding(server, "SQL_ASCII") as database:
            for user in ("keeper", "etl"):
                with pytest.raises(DatabaseRefused, match=r"SQL_ASCII.*encoding UTF8"):
                    migrate(database.url(user))

    def test_a_name_outside_the_databases_encoding_is_refused(
        self, server: Server, tmp_path: Path
    ) -> None:
        """What it can hold is loaded, as before; for the rest, the message names the encoding."""
        with in_encoding(server, "LATIN1") as database:
            migrate(database.url("keeper"))
            run_drop(database, make_drop({1: "Zoë"}, [(1, "1", "1")]).write(tmp_path / "held"))
            with pytest.raises(DatabaseRefused, match=r'in encoding "LATIN1".*encoding UTF8'):
                run_drop(database, DROP.write(tmp_path / "drop"))
            assert [user["user_name"] for user in features_of(database)] == ["Zoë"]

    def test_a_schema_of_a_newer_version_is_refused(
        self, database: Database, tmp_path: Path
    ) -> None:
        """By the first connection of a run, before it reads the drop."""
        database.query("update features.schema_version set version_num = '9999'")
        with pytest.raises(DatabaseRefused, match=r"9999.*A newer version of this program"):
            make_pipeline(database, tmp_path).extract(tmp_path / "no drop")


class TestLocks:
    """A statement does not wait forever for a lock, and the error names who holds it."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("experiment_features.load.database._SHORT_LOCK_WAIT", "200ms")
        monkeypatch.setattr("experiment_features.load.migrate._LOCK_WAIT_SECONDS", 0.2)

    @pytest.mark.parametrize(
        ("step", "table"),
        [
            ("known_drops.last_source", "pipeline_runs"),
            ("known_drops.find_earlier_load", "pipeline_runs"),
            ("extract", "schema_version"),
            ("extract", "pipeline_runs"),
            ("load", "pipeline_runs"),
        ],
    )
    def test_whoever_holds_a_table_is_named(
        self, step: str, table: str, database: Database, tmp_path: Path
    ) -> None:
        """Before and during a run, with process, user and lock."""
        source = DROP.write(tmp_path / "drop")
        pipeline = make_pipeline(database, tmp_path, timeout_seconds=0.4)
        if step == "load":
            compute_drop(pipeline, source)
        arguments = [] if step in ("known_drops.last_source", "load") else [source]
        with database.connect("keeper", application_name="psql") as holder:
            holder.execute(sql.SQL("lock table {}").format(sql.Identifier("features", table)))
            with pytest.raises(DatabaseUnavailable) as caught:
                attrgetter(step)(pipeline)(*arguments)
            process = holder.info.backend_pid
        assert (
            f'"psql", process {process}, user keeper, with AccessExclusiveLock on features.{table} '
            "holds the lock. Wait for it, or end it with"
        ) in str(caught.value)

    def test_a_migration_names_the_load_it_waits_for(self, database: Database) -> None:
        """As a load does."""
        with database.connect("etl", application_name="experiment_features one") as loading:
            loading.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
            with pytest.raises(DatabaseUnavailable, match='by "experiment_features one", process'):
                migrate(database.url("keeper"))

    def test_a_migration_names_the_reader_it_waits_for(self, database: Database) -> None:
        """A view that has to change is locked against readers."""
        database.query("comment on schema features is null", user="keeper")
        with database.connect("analyst", application_name="report") as reader:
            reader.execute("select * from features.user_feature_report")
            with pytest.raises(DatabaseUnavailable, match=r'"report", process .* holds the lock'):
                migrate(database.url("keeper"))
