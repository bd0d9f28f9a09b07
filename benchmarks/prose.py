"""The text of docs/performance.md around the figures."""

INTRODUCTION = """
# Performance

`benchmarks/run.sh` writes this page from the files in `benchmarks/results/`. Whatever is compared
took turns on the same machine, unless said otherwise. The ratios are medians over the rounds; trust
them more than the seconds, which differ from machine to machine.
"""

RUNS = """
## Whole runs

Seconds that the command line takes from the files of a drop to features in PostgreSQL, with every
rule checked: for the whole program, startup included, and for each stage. The drops have 2.5
compounds per experiment on average and one user per 100 experiments; some users and compounds have
far more than others. No row is faulty, because the other ways would fail or compute different
numbers. Ids have no gaps, like those of a sequence; if they did, the ids that experiments refer to
would be looked up one by one.

![Seconds by number of experiments](images/performance-runs.svg)
"""

WAYS = """
How long the other ways take, as a multiple of the pipeline's time:

- **bare DuckDB**: a single query from CSV to a Parquet file of the same features; no checks, no
  database.
- **published way**: `pandas.read_csv`, `groupby` and `Counter`, `DataFrame.to_sql`, as such
  pipelines are usually written; three features, no checks.
- **COPY and SQL**: the raw files copied into unlogged PostgreSQL tables, and the same features
  computed there in SQL; no checks.
- **dlt**: a general-purpose loader copies the raw experiments to PostgreSQL, either with its own
  CSV reader and defaults or with Arrow; no features, no checks.

The benchmark fails if any two disagree on the number of users, experiments or compound uses.
"""

DELTAS = """
## Deltas

A delta on top of a snapshot and up to as many earlier deltas as there are rounds: one hundredth as
many experiments as there are, of one in a hundred users or of a third of them, and ten rows. The
seconds are those of the whole program, and they are compared with bare DuckDB's query over the
whole. Then ten rows again, on another such snapshot: the first delta to the tenth, of which the
ninth compacts the layers below it; and, of 10 million experiments, on a snapshot with open issues,
all of which are carried along.
"""

CHECKS = """
## Reading and checking

The command `check`, which reads a drop and applies every rule, on plain CSV and on other forms of
the same drop: compressed, with blanks around each comma, with every cell in quotes; and with one
row of experiments in a hundred made odd: quoted, spelled otherwise, or faulty. Beside it, DuckDB
converts the plain files to Parquet unchecked, and **Floe** sorts their rows into accepted and
rejected ones, by types, NULLs and unique keys; it resolves no list of compounds and no reference.
"""

LOAD = """
## Load

The `load` stage, compared with `\\copy` of the same rows into an empty table of the same definition
(columns, key, checks). The stage puts the rows into a staging table, writes only what differs, and
keeps a history of what changed; of a name, it also writes each word, by which the page finds it. If
the features are those of the last load, it writes and compares none of them. Of a drop that is the
last load's, `extract` reads no row. It hashes the files, and also the features and issues in the
database, in case some were changed by hand.
"""

LATENCY = """
## Through Airflow

The sample drop on a warm local stack, with `force` so that every stage does all of its work, taking
turns with a DAG of four empty tasks. Seconds from `POST dagRuns` to the end of the run; the CPU
seconds are those of all Airflow processes during that time. **By default** means a second stack,
started after the first had stopped, under Airflow's defaults for all that
`deploy/airflow/airflow.cfg` sets, 32 tasks at once among them.
"""

ENGINES = """
## pandas, DuckDB or Spark

`auto` picks pandas for drops of up to {rows:,} experiments if it is loaded already, as in the tasks
of Airflow's LocalExecutor, else DuckDB. Seconds of a dry run: **start-up** is all but the stages
(imports, a session on Spark, the end of the program), then the two stages that run on an engine,
then the whole, `extract` included. The ratios are those of the whole.

- **pandas** is measured up to {pandas_to:,} experiments: beyond, it takes gigabytes.
- **spark** is `local[*]`, which starts Java in every run; **spark connect** is PySpark's own
  server, which runs already; **sail** is a server in the run's own process. They are measured from
  {spark_from:,} experiments on, on the same cores as DuckDB: the figures show what an engine costs
  on one machine, not what a cluster gains.
- Java has a heap of {heap}. Its CPU and memory are counted with those of the program, where
  they were measured.

![Seconds of validate and transform](images/performance-engines.svg)
"""

SERVER = """
To start, the server of Spark Connect takes {seconds} s more, once.
"""

PAYS = """
Which engine pays, by these figures: an engine does where the whole run is faster than on DuckDB.
"""

MEMORY = """
Memory of the idle stack after these runs (proportional set size in MiB):
"""

MEASURED = """
## How it was measured

```bash
benchmarks/run.sh
benchmarks/run.sh --only runs --sizes 10_000,1_000_000 --rounds 5
```

The first command takes hours and 20 GB of disk; `--help` explains the options. Every program runs
in a process of its own; its peak memory is the one that Linux reports. PostgreSQL is that of the
local stack, with its settings; every run loads into a new database. Whole runs and engines are
measured only once with {once:,} experiments, and with
`EXPERIMENT_FEATURES_MEMORY_LIMIT={limit}`. With `--sizes`, the figures for other sizes are kept;
date, commit and rounds are those of the latest measurement.
"""
