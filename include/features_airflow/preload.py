"""Imports what every task needs, once, in the process that tasks are forked from.

Airflow imports this module there: see mp_forkserver_preload in deploy/airflow/airflow.cfg. It
imports none of the project's own code, so that tasks always run the code that is on the disk.
"""

import gc

import duckdb  # noqa: F401
import narwhals._arrow.dataframe
import narwhals._pandas_like.namespace  # noqa: F401 - Narwhals imports both when it meets a frame
import pandas as pd  # noqa: F401
import psycopg  # noqa: F401
import pyarrow.acero
import pyarrow.parquet  # noqa: F401

# Garbage collection writes to every object that it looks at, and forks no longer share what one of
# them has written to. Without these lines every worker has 70 MB of its own, and every full
# collection in a task takes a quarter of a second.
gc.collect()
gc.freeze()
