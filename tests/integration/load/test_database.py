"""The kinds of connection errors."""

import pytest

from experiment_features.errors import DatabaseRefused, DatabaseUnavailable
from experiment_features.load.database import connect
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

    @pytest.mark.parametrize("url", ["postgres//etl:secret@host/x", "etl:secret@host"])
    def test_a_broken_url_is_refused_without_repeating_it(self, url: str) -> None:
        """The message does not show the password, as that of libpq would."""
        with pytest.raises(DatabaseRefused, match="the database URL is not valid") as caught:
            connect(url)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

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
