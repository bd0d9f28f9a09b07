"""Settings from the environment."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import duckdb
import pytest

from experiment_features import config
from experiment_features.config import Settings
from experiment_features.engines.duckdb_engine import open_duckdb, read_parquet
from experiment_features.errors import ConfigurationError


@pytest.mark.parametrize(
    ("watch", "watched"),
    [
        pytest.param("", ("/drops", "/more"), id="default_is_the_source_roots"),
        pytest.param("/drops/lab", ("/drops/lab",), id="own_folders"),
        pytest.param(" /a , /b,", ("/a", "/b"), id="blanks_and_empty_items"),
        pytest.param(" off ", (), id="off"),
        pytest.param(" ", ("/drops", "/more"), id="nothing_but_blanks"),
    ],
)
def test_watched_folders(
    monkeypatch: pytest.MonkeyPatch, watch: str, watched: tuple[str, ...]
) -> None:
    """By default the source roots are watched; a setting names other folders, or none."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_SOURCE_ROOTS", "/drops,/more")
    monkeypatch.setenv("EXPERIMENT_FEATURES_WATCH", watch)
    assert Settings.from_environment().watched_folders == watched


def test_object_storage_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets among the roots are skipped; naming one in the setting is an error."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_SOURCE_ROOTS", "/drops,s3://lab@laboratory/drops")
    monkeypatch.delenv("EXPERIMENT_FEATURES_WATCH", raising=False)
    assert Settings.from_environment().watched_folders == ("/drops",)
    monkeypatch.setenv("EXPERIMENT_FEATURES_WATCH", "/drops,s3://lab@laboratory/drops")
    with pytest.raises(ConfigurationError, match="with an event of the asset laboratory_drops"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("EXPERIMENT_FEATURES_KEEP_DAYS", "days"),
        ("EXPERIMENT_FEATURES_KEEP_WORKSPACE_DAYS", "days"),
        ("EXPERIMENT_FEATURES_DEADLINE_HOURS", "hours"),
    ],
)
@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "ten", "36501", "٣", "1" * 5000], ids=lambda value: value[:9]
)
def test_numbers_are_checked(
    monkeypatch: pytest.MonkeyPatch, name: str, unit: str, value: str
) -> None:
    """An invalid number is an error that names the variable and what was expected."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} is .*: expected a number of {unit}"):
        Settings.from_environment()


FOLDERS = ["WORKSPACES", "STORE", "SOURCE_ROOTS", "WATCH"]
WRITTEN = FOLDERS[:2]


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_named_as_sources_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a path or ``file:`` URI; neither ``~`` nor another host is taken for a folder's name."""
    variable = f"EXPERIMENT_FEATURES_{name}"
    (field,) = (field for field in fields(Settings) if field.metadata["name"] == variable)
    for value, folder in [("file:///a/b%20c", "/a/b c"), ("file:/a", "/a"), ("a/b", "a/b")]:
        monkeypatch.setenv(variable, value)
        found = getattr(Settings.from_environment(), field.name)
        assert found == (folder if name in WRITTEN else (folder,))
    for value, message in [
        ("~/x", "'~/x' begins with ~"),
        ("file://elsewhere/x", "'file://elsewhere/x' is not on this machine"),
        ("/x/\udcff", r"/x/\\udcff is not UTF-8: name another place"),
        ("file:///x/%ff", r"/x/\\udcff is not UTF-8: name another place"),
    ]:
        monkeypatch.setenv(variable, value)
        with pytest.raises(ConfigurationError, match=f"^{variable} {message}"):
            Settings.from_environment()


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("folder", [r"a\b[c]", r"a\*", r"x\n?"])
def test_a_folder_that_duckdb_cannot_read_is_refused(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the setting names it, or it is the current one; if DuckDB can read it, delete this."""
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    for value in (str(tmp_path / folder), "here"):
        monkeypatch.setenv(f"EXPERIMENT_FEATURES_{name}", value)
        with pytest.raises(ConfigurationError, match="which DuckDB cannot read: name another"):
            Settings.from_environment()
    with open_duckdb("1GiB") as database:
        database.sql("select 1").write_parquet("1.parquet")
        with pytest.raises(duckdb.IOException, match="No files found"):
            read_parquet(database, tmp_path / folder / "1.parquet")


def test_a_relative_folder_needs_a_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the setting."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", "here")
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="STORE here is relative, and the current folder"):
        Settings.from_environment()


@pytest.mark.parametrize(
    "value",
    [
        *("lots", "4", "4GiBs", "1,5GB", "150%", "9999999999999TB", "٣GB"),
        *("999999999t", "0MB", "0%", "00%", "1kb", "63.9MB", "0.06GiB"),
        *("None", "4\u00a0GiB"),
    ],
)
def test_memory_is_checked(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What DuckDB would not take is an error, whatever stage would be the first to use it."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_MEMORY_LIMIT", value)
    with pytest.raises(
        ConfigurationError, match=r"MEMORY_LIMIT is .*: expected memory such as 4GiB"
    ):
        Settings.from_environment()


def test_a_share_of_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked by what it amounts to on this machine."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_MEMORY_LIMIT", "10%")
    monkeypatch.setattr(config, "_bytes_of_memory", lambda: 630e6)
    with pytest.raises(ConfigurationError, match=r"is '10%': expected .* at least 64MB"):
        Settings.from_environment()
    monkeypatch.setattr(config, "_bytes_of_memory", lambda: 650e6)
    assert Settings.from_environment().memory_limit == "10%"


@pytest.mark.parametrize(
    "value", ["4GiB", "4.5 gb", "512m", "64MB", "900000GB", "80%", " 80%\n", "-1", "none", " none "]
)
def test_memory_is_spelled_as_duckdb_takes_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With and without blank, in any case."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_MEMORY_LIMIT", value)
    with open_duckdb(Settings.from_environment().memory_limit):
        pass


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_each_setting_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, field: "Field[Any]"
) -> None:
    """Its example value changes this setting and no other."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_WATCH", "/drops")  # by default, it follows the roots
    before = Settings.from_environment()
    monkeypatch.setenv(field.metadata["name"], field.metadata["example"])
    after = Settings.from_environment()
    changed = {
        f.name for f in fields(Settings) if getattr(after, f.name) != getattr(before, f.name)
    }
    assert changed == {field.name}


def test_the_containers_get_each_setting() -> None:
    """Compose passes on those that it is told, and only those."""
    compose = (Path(__file__).parents[2] / "docker-compose.yaml").read_text()
    for field in fields(Settings):
        assert f"    {field.metadata['name']}: " in compose, field.name


def test_blanks_around_a_setting_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a list, a single folder or a number; of nothing but blanks, the default is taken."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_KEEP_DAYS", " 30 ")
    monkeypatch.setenv("EXPERIMENT_FEATURES_KEEP_PARTS_DAYS", " ")
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", " /data/store ")
    monkeypatch.setenv("EXPERIMENT_FEATURES_WORKSPACES", " ")
    monkeypatch.setenv("EXPERIMENT_FEATURES_SOURCE_ROOTS", " /data/drops , /data/more ")
    settings = Settings.from_environment()
    assert settings.store == "/data/store"
    assert settings.source_roots == ("/data/drops", "/data/more")
    assert settings.workspaces.endswith("/.local/workspaces")
    assert (settings.keep_days, settings.keep_parts_days) == (30, Settings.keep_parts_days)
