-- Which version of its views the schema has. Grain: one row; null without any.
select obj_description('features'::regnamespace, 'pg_namespace')
