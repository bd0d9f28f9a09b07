"""Files of any dialect become typed Parquet, row by row with file and line."""
