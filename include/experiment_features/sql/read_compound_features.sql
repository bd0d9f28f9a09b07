-- DuckDB: the compound features of a workspace as COPY takes them. Grain: compound.
select compound_id, compound_name, total_experiments, total_users
from read_parquet($path)
