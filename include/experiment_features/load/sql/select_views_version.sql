-- Which version of views.sql the schema has, and a hash of the views and functions that it has in fact.
-- Grain: one row. version is null when none is recorded.
select
    obj_description('features'::regnamespace, 'pg_namespace') as version,
    md5(
        concat(
            pg_get_viewdef(to_regclass('features.user_features_history')), ';',
            pg_get_viewdef(to_regclass('features.user_feature_report')), ';',
            pg_get_functiondef(to_regprocedure('features.user_features_as_of(timestamptz)'))
        )
    ) as defined
