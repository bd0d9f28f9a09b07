"""Imports what every task needs, once, in the process that tasks are forked from.

Airflow imports it there: see MP_FORKSERVER_PRELOAD in scripts/local_env.sh. None of the package's
own code is imported, so that tasks always run the code that is on the disk.
"""

import gc

import duckdb  # noqa: F401
import narwhals._arrow.dataframe
import narwhals._pandas_like.namespace  # noqa: F401 - Narwhals imports both when it meets a frame
import pandas as pd  # noqa: F401
import psycopg  # noqa: F401
import pyarrow.acero
import pyarrow.parquet  # noqa: F401

# Garbage collection writes to every object that it looks at, and what a fork writes to it no longer
# shares: without this line every worker has 70 MB of its own, and every full collection in a task
# takes a quarter of a second.
gc.collect()
gc.freeze()
