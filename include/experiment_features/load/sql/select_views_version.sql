-- Which version of views.sql the schema has, and a hash of the views and functions that it has in fact.
-- Grain: one row. version is null when none is recorded. Value: views, their names.
select
    obj_description('features'::regnamespace, 'pg_namespace') as version,
    md5(
        concat(
            (
                select string_agg(pg_get_viewdef(to_regclass('features.' || name)), ';' order by name)
                from unnest(%(views)s::text[]) as names (name)
            ),
            ';', pg_get_functiondef(to_regprocedure('features.user_features_as_of(timestamptz)'))
        )
    ) as defined
