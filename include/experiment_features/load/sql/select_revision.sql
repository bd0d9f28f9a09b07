-- The revision of the schema: see migrate.py. Grain: one row; none while it is being created.
select version_num
from features.schema_version
