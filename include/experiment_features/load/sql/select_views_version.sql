-- Which version of views.sql the schema has. Grain: one row; null when one of its relations is missing.
select
    case
        when
            to_regclass('features.user_features_history') is not null
            and to_regclass('features.user_feature_report') is not null
            and to_regprocedure('features.user_features_as_of(timestamptz)') is not null
            then obj_description('features'::regnamespace, 'pg_namespace')
    end
