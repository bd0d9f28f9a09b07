"""Makes drops of any size without faults, skewed toward some users and compounds.

    python -m benchmarks.drops FOLDER EXPERIMENTS [USERS [WORD [reversed]]]

The same arguments give the same files: every value is derived from a hash of its row number. This
is a separate program because the measuring process must stay small (see measure.py).
"""

import sys
from pathlib import Path

import duckdb

PART_ROWS = 10_000_000
"""Rows per file; larger tables of experiments are split into parts."""

EXPERIMENTS_PER_USER = 100
COMPOUNDS = 1_000

CHANCE = "create macro chance(i, salt) as hash(i * 8 + salt) / 18446744073709551616"

USERS = """
copy (
    select
        i as user_id,
        $word || ' ' || i as name,
        'user' || i || '@example.org' as email,
        date '2023-01-01' + (i % 700)::integer as signup_date
    from range(1, $users + 1) as t (i)
) to $target (header)
"""
COMPOUNDS_SQL = """
copy (
    select
        i as compound_id,
        'Compound ' || i as compound_name,
        'C' || i || 'H' as compound_structure
    from range(1, $compounds + 1) as t (i)
) to $target (header)
"""
# Cubed random numbers are skewed: of 100,000 users, the first has 2 % of all experiments. Three
# steps never lead back around to the first compound, so no list names a compound twice.
EXPERIMENTS = """
copy (
    with drawn as (
        select
            i,
            1 + floor($users * chance(i, 1) ** 3)::bigint as drawn_user,
            if($is_reversed, $users + 1 - drawn_user, drawn_user) as user_id,
            floor($compounds * chance(i, 2) ** 3)::bigint as compound,
            1 + floor(($compounds // 4 - 1) * chance(i, 3) ** 3)::bigint as step,
            1 + floor(4 * chance(i, 4)) as size, -- 2.5 on average
            round(100 * chance(i, 5), 2) as run_time
        from range($start, $stop) as t (i)
    )
    select
        i as experiment_id,
        user_id,
        concat_ws(
            ';',
            1 + compound,
            if(size > 1, 1 + (compound + step) % $compounds, null),
            if(size > 2, 1 + (compound + 2 * step) % $compounds, null),
            if(size > 3, 1 + (compound + 3 * step) % $compounds, null)
        ) as experiment_compound_ids,
        run_time as experiment_run_time
    from drawn
) to $target (header)
"""


def make_drop(
    folder: Path, experiments: int, users: int, word: str, *, is_reversed: bool = False
) -> None:
    """Writes the files of a drop; every user's name starts with ``word``.

    If it is reversed, the last users have the experiments of the first.
    """
    folder.mkdir()
    with duckdb.connect() as database:
        database.execute(CHANCE)
        database.execute(USERS, {"users": users, "word": word, "target": str(folder / "users.csv")})
        database.execute(
            COMPOUNDS_SQL, {"compounds": COMPOUNDS, "target": str(folder / "compounds.csv")}
        )
        starts = range(1, experiments + 1, PART_ROWS)
        for number, start in enumerate(starts, start=1):
            name = f"user_experiments_{number:02}" if len(starts) > 1 else "user_experiments"
            values = {"users": users, "compounds": COMPOUNDS, "start": start}
            values["is_reversed"] = is_reversed
            stop = min(start + PART_ROWS, experiments + 1)
            target = str(folder / f"{name}.csv")
            database.execute(EXPERIMENTS, {**values, "stop": stop, "target": target})


if __name__ == "__main__":
    target, number = Path(sys.argv[1]), int(sys.argv[2])
    make_drop(
        target,
        number,
        users=int(sys.argv[3]) if len(sys.argv) > 3 else max(number // EXPERIMENTS_PER_USER, 10),
        word=sys.argv[4] if len(sys.argv) > 4 else "User",
        is_reversed=len(sys.argv) > 5,
    )
