"""Who may do what; strangers learn nothing."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from docker.container_stack import ContainerStack
from e2e.local_stack import RUNS

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]

PASSWORD = "correct horse battery staple"  # noqa: S105
PEOPLE = ("olga", "vera")


@pytest.fixture(scope="session")
def tokens(stack: ContainerStack) -> dict[str, str]:
    """A token for each account, and for one person in each role: an Operator and a Viewer."""
    stack.compose(
        *("exec", "-T", "api-server", "airflow", "users", "create", "--username", "olga"),
        *("--role", "Operator", "--password", PASSWORD, "--email", "olga@example.org"),
        *("--firstname", "Olga", "--lastname", "O"),
    )
    vera = {"username": "vera", "roles": [{"name": "Viewer"}], "password": PASSWORD}
    vera |= {"email": "vera@example.org", "first_name": "Vera", "last_name": "V"}
    status, answer = stack.call("POST", "/auth/fab/v1/users", stack.token("admin"), vera)
    assert status == 200, answer
    made = {name: stack.token(name, PASSWORD) for name in PEOPLE}
    return made | {name: stack.token(name) for name in ("admin", "api")}


@pytest.fixture(scope="session")
def run_path(loaded: dict[str, Any]) -> str:
    """The API path of the first run."""
    return f"{RUNS}/{loaded['run_id']}"


LOOK = [
    ("GET", "/api/v2/dags/experiment_features", None),
    ("GET", "{run}", None),
    ("GET", "{run}/wait?interval=1&result=load", None),
    ("GET", "{run}/taskInstances", None),
    ("GET", "{run}/taskInstances/load/logs/1", None),
    ("GET", "{run}/taskInstances/load/xcomEntries/return_value", None),
]
# Has an invalid value, so that those who may trigger get an error, and nothing runs.
TRIGGER = ("POST", RUNS, {"logical_date": None, "conf": {"engine": "abacus"}})
CHANGE = [
    ("PATCH", "{run}", {"state": "failed"}),
    ("DELETE", "{run}", None),
    ("POST", "{run}/clear", {"dry_run": False}),
    ("POST", "/api/v2/dags/experiment_features/clearTaskInstances", {"dry_run": False}),
    ("DELETE", "/api/v2/dags/experiment_features", None),
]
ADMINISTER = [
    ("GET", "/api/v2/connections", None),
    ("GET", "/api/v2/variables", None),
    ("POST", "/api/v2/variables", {"key": "a", "value": "b"}),
    ("GET", "/api/v2/eventLogs", None),
    ("POST", "/api/v2/pools", {"name": "a", "slots": 1}),
    ("GET", "/auth/fab/v1/users", None),
    ("GET", "/auth/fab/v1/roles", None),
]
EVERYTHING = [*LOOK, TRIGGER, *CHANGE, *ADMINISTER]


@pytest.mark.parametrize("user", ["admin", "olga", "vera", "api"])
def test_everyone_may_look(
    stack: ContainerStack, tokens: dict[str, str], run_path: str, user: str
) -> None:
    """All roles can see the DAG, its runs, logs and results."""
    asked = {path: stack.call(m, path.format(run=run_path), tokens[user])[0] for m, path, _ in LOOK}
    assert set(asked.values()) == {200}, asked


@pytest.mark.parametrize(
    ("user", "status"), [("admin", 400), ("olga", 400), ("api", 400), ("vera", 403)]
)
def test_who_may_trigger(
    stack: ContainerStack, tokens: dict[str, str], user: str, status: int
) -> None:
    """Everyone but a viewer may trigger; here, they get an error about the parameter."""
    method, path, body = TRIGGER
    assert stack.call(method, path, tokens[user], body)[0] == status


@pytest.mark.parametrize("user", ["olga", "vera", "api"])
def test_only_the_administrator_changes_and_administers(
    stack: ContainerStack, tokens: dict[str, str], run_path: str, user: str
) -> None:
    """Others cannot change runs, or even see connections, variables and accounts."""
    asked = {
        (method, path): stack.call(method, path.format(run=run_path), tokens[user], body)[0]
        for method, path, body in [*CHANGE, *ADMINISTER]
    }
    assert set(asked.values()) == {403}, asked


def test_the_api_account_sees_nothing_else(stack: ContainerStack, tokens: dict[str, str]) -> None:
    """The API account is denied whatever lists more than this DAG."""
    paths = ("assets", "importErrors", "jobs", "pools", "plugins", "providers")
    asked = {path: stack.call("GET", f"/api/v2/{path}", tokens["api"])[0] for path in paths}
    assert set(asked.values()) == {403}, asked


@pytest.mark.parametrize(
    ("user", "status"), [("admin", 200), ("olga", 200), ("vera", 200), ("api", 403), (None, 401)]
)
def test_who_sees_the_features_page(
    stack: ContainerStack, tokens: dict[str, str], user: str | None, status: int
) -> None:
    """People see the page; the API account, which has no use for it, does not."""
    token = tokens[user] if user else None
    answered, page = stack.call("GET", "/experiment-features/users", token)
    assert answered == status
    assert ("Amara Okafor" in str(page)) == (status == 200)


def sign(claims: dict[str, Any], secret: str) -> str:
    """Return a JSON web token like those of Airflow."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS512", "typ": "JWT"}, claims)]
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    digest = hmac.digest(secret.encode(), text.encode(), hashlib.sha512)
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def test_a_token_signed_with_the_secret_is_accepted(
    stack: ContainerStack, tokens: dict[str, str]
) -> None:
    """A token from `sign` is accepted, so those below are refused only for their faults."""
    token = sign(claims_of(tokens["admin"]), stack.secret("jwt_secret"))
    assert stack.call("GET", "/api/v2/connections", token)[0] == 200


@pytest.mark.parametrize(
    ("forge", "status"),
    [
        pytest.param(lambda _claims, _secret: None, 401, id="none"),
        pytest.param(lambda _claims, _secret: "e30.e30.x", 403, id="nonsense"),
        pytest.param(lambda claims, _secret: sign(claims, "guessed" * 10), 403, id="forged"),
        pytest.param(
            lambda claims, secret: sign(
                claims | {"iat": 1, "nbf": 1, "exp": int(time.time()) - 60}, secret
            ),
            401,
            id="expired",
        ),
        pytest.param(
            lambda claims, secret: sign(claims | {"sub": "999"}, secret), 403, id="nobody"
        ),
        pytest.param(
            lambda claims, secret: sign(claims | {"aud": "elsewhere"}, secret), 403, id="elsewhere"
        ),
    ],
)
def test_strangers_are_told_nothing(
    stack: ContainerStack,
    tokens: dict[str, str],
    run_path: str,
    forge: Callable[[dict[str, Any], str], str | None],
    status: int,
) -> None:
    """Every call is refused without a token, or with a forged, expired or foreign one."""
    token = forge(claims_of(tokens["admin"]), stack.secret("jwt_secret"))
    asked = {
        (method, path): stack.call(method, path.format(run=run_path), token, body)[0]
        for method, path, body in EVERYTHING
    }
    of_fab = {(method, path) for method, path, _ in EVERYTHING if path.startswith("/auth/fab")}
    assert {asked[call] for call in asked.keys() - of_fab} == {status}, asked
    assert {asked[call] for call in of_fab} <= {401, 403}, asked


def test_a_wrong_password_is_refused(stack: ContainerStack) -> None:
    """There is no default password."""
    for password in ("admin", "airflow", ""):
        login = {"username": "admin", "password": password}
        assert stack.call("POST", "/auth/token", body=login)[0] in (400, 401, 422)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from features.user_features",
        "update features.user_features set user_name = ''",
        "insert into features.pipeline_runs (run_id) values ('x')",
        "drop table features.user_features",
        "create table features.mine (x int)",
        "create table public.mine (x int)",
        "select raw_row from features.data_issues",
        "copy features.user_features to program 'id'",
        "set role features_writer",
        "select pg_read_file('/run/secrets/airflow_password')",
    ],
)
def test_the_reader_only_reads(stack: ContainerStack, statement: str) -> None:
    """The reader can neither write nor read raw rows and the server's files."""
    password = stack.secret("features_reader_password")
    done = stack.log_in("features_reader", password, statement)
    assert done.returncode != 0
    assert "permission denied" in done.stderr or "must be" in done.stderr, done.stderr


def test_each_role_has_its_own_database(stack: ContainerStack) -> None:
    """Access to the features gives no access to Airflow's database, or vice versa."""
    assert stack.log_in("features_reader", "wrong", "select").returncode != 0
    for role, database in (
        ("airflow", "experiment_features"),
        ("features_writer", "airflow"),
        ("features_reader", "airflow"),
        ("features_owner", "postgres"),
    ):
        arguments = ("exec", "-T", "postgres", "psql", "-U", role, "-d", database, "-c", "select")
        done = stack.run("docker", "compose", *arguments)
        assert "permission denied for database" in done.stderr, (role, database)
