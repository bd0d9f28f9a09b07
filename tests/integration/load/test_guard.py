"""No load takes features away unseen: the volume guard, against what is really there."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases import cases, left_to_ci
from experiment_features.config import SAMPLE_DROP
from experiment_features.errors import DatabaseUnavailable, LoadHeld
from experiment_features.load import load as load_module
from experiment_features.load.guard import Removal
from integration.running import (
    compute_drop,
    features_of,
    load_experiments,
    make_drop,
    make_pipeline,
    run_drop,
    run_of,
)
from integration.servers import Database

MANY = range(1, 101)


def statuses(database: Database) -> list[str]:
    """Returns how the runs ended, in their order."""
    rows = database.query("select status from features.pipeline_runs order by started_at")
    return [row["status"] for row in rows]


def drop_of(users: int, compounds: int = 20, experiments: int = 100) -> Any:
    """A drop with so many of each, every experiment by the first user with the first compound."""
    return make_drop(
        {i: f"user {i}" for i in range(1, users + 1)},
        [(1, "1", "10")] * experiments,
        {i: f"compound {i}" for i in range(1, compounds + 1)},
    )


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        pytest.param((100, 20, 100), (80, 20, 100), None, id="20.0 %"),
        pytest.param((100, 20, 100), (79, 20, 100), "21 of 100 users (21 %)", id="21 %"),
        *left_to_ci(
            pytest.param((1000, 1, 1), (799, 1, 1), "201 of 1,000 users (20.1 %)", id="20.1 %"),
            pytest.param((20, 20, 100), (10, 20, 100), None, id="10 users"),
            pytest.param((20, 20, 100), (9, 20, 100), "11 of 20 users (55 %)", id="11 users"),
            pytest.param(
                (20, 20, 100), (20, 9, 100), "11 of 20 compounds (55 %)", id="compounds alone"
            ),
            pytest.param(
                (20, 20, 100), (20, 20, 79), "21 of 100 experiments (21 %)", id="experiments alone"
            ),
        ),
        pytest.param(
            (100, 20, 100),
            (50, 5, 50),
            "50 of 100 users (50 %) and 15 of 20 compounds (75 %) and 50 of 100 experiments (50 %)",
            id="all of them",
        ),
        pytest.param((20, 20, 20), (1000, 500, 900), None, id="growth"),
    ],
)
def test_what_may_go(
    before: tuple[int, ...],
    after: tuple[int, ...],
    gone: str | None,
    database: Database,
    tmp_path: Path,
) -> None:
    """More than 20 % and more than 10 of one kind hold the load; nothing changes then."""
    users, compounds, experiments = before
    load_experiments(
        database,
        tmp_path,
        {1: experiments} | dict.fromkeys(range(2, users + 1), 0),
        {1: experiments} | dict.fromkeys(range(2, compounds + 1), 0),
    )
    features = features_of(database), features_of(database, "compound_features")
    source = drop_of(*after).write(tmp_path / "after")
    if gone is None:
        assert run_drop(database, source, run_id="after")["status"] == "loaded"
        return
    with pytest.raises(LoadHeld) as held:
        run_drop(database, source, run_id="after")
    assert str(held.value) == (
        f"{gone} would go, more than max_removed_percent 20 allows; if that is right: run {source} "
        "with max_removed_percent 100"
    )
    assert (features_of(database), features_of(database, "compound_features")) == features
    assert features_of(database, "user_features_past") == []
    row = run_of(database, "after")
    assert (row["status"], row["task"], row["error"]) == ("held", "load", "LoadHeld")
    assert (row["users"], row["compounds"], row["experiments"]) == after
    assert (row["inserted"], row["deleted"], row["message"]) == (0, 0, str(held.value))
    changes = database.query(
        "select table_name, count(*), min(id) as first from features.held_changes group by 1"
    )
    removed = {"users": before[0] - after[0], "compounds": before[1] - after[1]}
    assert {change["table_name"]: change["count"] for change in changes} == {
        table: number for table, number in removed.items() if number
    }


@pytest.mark.parametrize(("removed", "of", "percent"), [(77, 1375, 5.6), (69, 3000, 2.3)])
def test_exactly_the_limit_may_go(removed: int, of: int, percent: float) -> None:
    """In floating point, 100 * 77 is more than 5.6 * 1375."""
    assert not Removal("users", removed, of).exceeds(percent)
    assert Removal("users", removed + 1, of).exceeds(percent)


def test_accepting_holds_for_one_run(database: Database, tmp_path: Path) -> None:
    """What was accepted is unchanged the next day; the next loss is held again."""
    run_drop(database, drop_of(100).write(tmp_path / "whole"))
    source = drop_of(50).write(tmp_path / "half")
    for _ in range(2):
        with pytest.raises(LoadHeld):
            run_drop(database, source)
    assert run_drop(database, source, max_removed_percent=100)["deleted"] == 50
    assert run_drop(database, source)["status"] == "unchanged"
    with pytest.raises(LoadHeld, match="25 of 50 users"):
        run_drop(database, drop_of(25).write(source))
    assert statuses(database) == ["loaded", "held", "held", "loaded", "unchanged", "held"]


def test_a_held_run_can_be_repeated(database: Database, tmp_path: Path) -> None:
    """Its entry is replaced: there is one, with the same figures."""
    run_drop(database, drop_of(100).write(tmp_path / "whole"))
    pipeline = compute_drop(
        make_pipeline(database, tmp_path, run_id="held"), drop_of(50).write(tmp_path / "half")
    )
    for _ in range(2):
        with pytest.raises(LoadHeld):
            pipeline.load()
    assert statuses(database) == ["loaded", "held"]
    assert database.value("select count(*) from features.held_changes") == 50


def test_what_follows_the_sample_is_never_held(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laboratory's first drop takes the place of the sample, wherever that was copied to."""
    sample = shutil.copytree(SAMPLE_DROP, tmp_path / "copied")
    run_drop(database, Path(sample), max_rejected_percent=100)
    small = make_drop({900: "Ann"}, [(900, "1", "0.0001")])
    result = run_drop(database, small.write(tmp_path / "first"))
    assert (result["status"], result["users"], result["notices"]) == ("loaded", 1, [])
    monkeypatch.setattr("experiment_features.load.guard.SAMPLE_DROP", sample)
    (sample / "users.xlsx").touch()  # the sample can no longer be read: no fault of another drop
    other = make_drop({900: "Ann"}, [(900, "1", "1")])
    assert len(run_drop(database, other.write(tmp_path / "second"))["notices"]) == 1


def test_an_empty_load_is_held_too(database: Database, tmp_path: Path) -> None:
    """allow_empty alone does not delete everything; what follows an empty load is growth."""
    run_drop(database, drop_of(30).write(tmp_path / "whole"))
    empty = make_drop({}, (), {}).write(tmp_path / "empty")
    with pytest.raises(LoadHeld, match=r"30 of 30 users \(100 %\)"):
        run_drop(database, empty, allow_empty=True)
    run_drop(database, empty, allow_empty=True, max_removed_percent=100)
    assert run_drop(database, tmp_path / "whole")["inserted"] == 30


def test_a_truncated_users_file_is_held(database: Database, tmp_path: Path) -> None:
    """A copy that stopped is well-formed up to its last line, which may be cut."""
    source = drop_of(200).write(tmp_path / "drop")
    run_drop(database, source)
    text = (source / "users.csv").read_bytes()
    for tenth in (1, 2, 3, 4, 5, 6, 7, 9, 8):
        (source / "users.csv").write_bytes(text[: len(text) * tenth // 10])
        options = {"max_rejected_percent": 100}  # the experiments of user 1 stay
        if tenth >= 8:
            assert run_drop(database, source, **options)["deleted"] <= 40
            continue
        with pytest.raises(LoadHeld, match="of 200 users"):
            run_drop(database, source, **options)
        assert len(features_of(database)) == 200


def test_two_loads_cannot_pass_it_together(database: Database, tmp_path: Path) -> None:
    """Of two drops that each take away 20 % of the first, the second sees what the first left."""
    run_drop(database, drop_of(100).write(tmp_path / "whole"))
    fewer = [
        compute_drop(make_pipeline(database, tmp_path), source)
        for source in (
            drop_of(80).write(tmp_path / "first"),
            make_drop(dict.fromkeys(range(21, 101), "other"), [(100, "1", "10")] * 100).write(
                tmp_path / "second"
            ),
        )
    ]
    start = threading.Barrier(2)

    def load(pipeline: Any) -> str:
        start.wait()
        try:
            return str(pipeline.load().status)
        except LoadHeld as held:
            return held.status

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(load, fewer)) == ["held", "loaded"]
    assert len(features_of(database)) == 80


def test_a_database_that_goes_away_while_it_decides_is_transient(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing has changed, and the next try is held."""
    run_drop(database, drop_of(100).write(tmp_path / "whole"))
    pipeline = compute_drop(make_pipeline(database, tmp_path), drop_of(50).write(tmp_path / "half"))
    check = load_module.check_volume

    def cut(*arguments: Any) -> Any:
        database.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'etl'"
        )
        return check(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(load_module, "check_volume", cut)
        with pytest.raises(DatabaseUnavailable):
            pipeline.load()
    assert statuses(database) == ["loaded", "running"]
    with pytest.raises(LoadHeld):
        pipeline.load()


@pytest.mark.parametrize(
    ("before", "after", "is_noticed"),
    [
        (10, 99.9, False),
        (10, 100, True),
        (10, 0, True),
        ("", 100, False),
        *left_to_ci((10, 1, True), (10, 1.1, False), (0, 0, False), (10, "", False)),
    ],
)
def test_another_unit_is_noticed(
    before: Any, after: Any, is_noticed: bool, database: Database, tmp_path: Path
) -> None:
    """A mean run time that changes by a factor of 10 or more loads, with a notice."""
    for name, run_time in (("before", before), ("after", after)):
        drop = make_drop({1: name}, [(1, "1", str(run_time))])
        result = run_drop(database, drop.write(tmp_path / name), run_id=name)
        assert result["status"] == "loaded"
    notices = run_of(database, "after")["notices"]
    assert (result["notices"], bool(notices)) == (notices, is_noticed)
    if is_noticed:
        assert notices[0].startswith(f"the mean run time of all experiments was {before} and is ")


class TestRandomSequences:
    """Growing and shrinking drops, against a small model of which must be held."""

    @settings(
        max_examples=cases(15),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        st.lists(
            st.dictionaries(st.integers(1, 60), st.integers(0, 3), min_size=1, max_size=60),
            min_size=2,
            max_size=6,
        ),
        st.sampled_from([0, 5, 20, 50, 100]),
    )
    def test_hold_as_the_model_says(
        self, database: Database, tmp_path: Path, drops: list[dict[int, int]], percent: int
    ) -> None:
        """Each load is compared with the last that was not held."""
        load_experiments(database, tmp_path, {1: 1})  # a small start, whatever went before
        last = {1: 1}
        for drop in drops:
            removed = [
                (len(last.keys() - drop.keys()), len(last)),
                (sum(last.values()) - sum(drop.values()), sum(last.values())),
            ]
            must_be_held = any(gone > 10 and 100 * gone > percent * of for gone, of in removed)
            try:
                load_experiments(database, tmp_path, drop, max_removed_percent=percent)
                is_held = False
                last = drop
            except LoadHeld:
                is_held = True
            assert is_held == must_be_held
            counts = database.query("select user_id, total_experiments from features.user_features")
            assert {row["user_id"]: row["total_experiments"] for row in counts} == last
