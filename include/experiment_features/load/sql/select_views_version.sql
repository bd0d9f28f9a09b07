-- Which version of views.py the schema has, and a hash of the views and functions that it has in fact.
-- Grain: one row. version is null when none is recorded. Value: views, their names.
select
    obj_description('features'::regnamespace, 'pg_namespace') as version,
    md5(
        concat(
            (
                select
                    string_agg(
                        concat(pg_get_viewdef(views.oid), views.reloptions::text), ';'
                        order by views.relname
                    )
                from pg_class as views
                where
                    views.relnamespace = 'features'::regnamespace
                    and views.relkind = 'v'
                    and views.relname = any(%(views)s::text[])
            ),
            ';', pg_get_functiondef(to_regprocedure('features.user_features_as_of(timestamptz)'))
        )
    ) as defined
