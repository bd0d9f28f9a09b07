"""DuckDB converts a drop to Parquet: it guesses the types and checks nothing.

guessed_types.py SOURCE FOLDER
"""

import sys
from pathlib import Path

import duckdb

if __name__ == "__main__":
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with duckdb.connect() as database:
        database.execute("set enable_progress_bar = false")
        for table in ("users", "compounds", "user_experiments"):
            relation = database.read_csv(str(source / f"{table}*.csv"))
            relation.write_parquet(str(folder / f"{table}.parquet"))
