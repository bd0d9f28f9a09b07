"""What docs/performance.md says around the figures."""

INTRODUCTION = """
# Performance

This page is written by `benchmarks/run.sh` from the files in `benchmarks/results/`. What is
compared ran in turns on the same machine, and the ratios are medians over the rounds: they tell
more than the seconds, which are other ones on another machine.
"""

RUNS = """
## Whole runs

From the files of a drop to features in PostgreSQL, with every rule checked, through the command
line: the seconds of the whole program, its start included, and those of its stages. The drops have
2.5 compounds per experiment on average and a user per 100 experiments; some users and compounds
have far more than others. No row is faulty: the other ways would fail, or give other numbers. Ids
have no gaps, as those of a sequence: where there are some, the ids that experiments name are looked
up one by one.

![Seconds by number of experiments](images/performance-runs.svg)
"""

WAYS = """
How many times longer than the pipeline the other ways take:

- **bare DuckDB**: one query from CSV to a Parquet file of the same features; no checks, no
  database.
- **published way**: `pandas.read_csv`, `groupby` and `Counter`, `DataFrame.to_sql`, as it is
  usually written; three features, no checks.
- **COPY and SQL**: the raw files into unlogged tables of PostgreSQL, the same features by SQL
  there; no checks.
- **dlt**: a general loader brings the raw experiments into PostgreSQL, with its CSV reader and its
  defaults, or with Arrow; no features, no checks.

All must count the same users, experiments and uses of compounds, or the benchmark ends.
"""

LOAD = """
## Load

The stage `load`, beside `\\copy` of the same rows into an empty table of the same definition
(columns, key, checks). The stage puts the rows into a staging table, writes what differs, and keeps
the history of what has changed. A drop whose files are known is hashed, and not read.
"""

LATENCY = """
## Through Airflow

The sample drop with `force`, so that every stage does all of its work, on a warm local stack, in
turns with a DAG of four empty tasks. Seconds from `POST dagRuns` until the run has ended; the CPU
seconds are those of all of Airflow's processes meanwhile.
"""

ENGINES = """
## pandas, DuckDB or Spark

`auto` takes DuckDB for drops of more than {rows:,} experiments. Seconds of the two stages that
run on an engine, and of the whole program without a load. Spark runs on this machine alone
(`local[*]`): what it shows here is its own cost, not what a cluster gains.

![Seconds of validate and transform](images/performance-engines.svg)
"""

MEMORY = """
Memory of the idle stack after these runs, in MiB of proportional set size:
"""

MEASURED = """
## How it was measured

```bash
benchmarks/run.sh
benchmarks/run.sh --only runs --sizes 10_000,1_000_000 --rounds 5
```

The first command takes hours and 20 GB of disk; `--help` tells the rest. Every program is a process
of its own; its peak of memory is the one that Linux counts. PostgreSQL is the local stack's, with
its own settings; every run loads into a new database. Whole runs of {once:,} experiments are
measured once, with `EXPERIMENT_FEATURES_MEMORY_LIMIT={limit}`. With `--sizes`, the figures of other
sizes stay.
"""
