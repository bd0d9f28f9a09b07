-- The version of the views, kept as the schema's comment. Grain: one row; null if there is none.
select obj_description('features'::regnamespace, 'pg_namespace')
