-- Makes the roles and databases of the stack, and sets the passwords to those in the secrets; run by
-- the service init-postgres at every start, as the superuser, who has no password (docs/security.md).

\set ON_ERROR_STOP on
-- A statement that fails would stand in the log, with its password.
set log_min_error_statement = panic;

\set airflow_password `cat /run/secrets/airflow_password`
\set features_owner_password `cat /run/secrets/features_owner_password`
\set features_writer_password `cat /run/secrets/features_writer_password`
\set features_reader_password `cat /run/secrets/features_reader_password`

select format('create role %I', role)
from unnest(
    array['airflow', 'features_owner', 'features_writer', 'features_reader', 'features_steward']
) as role
where not exists (select from pg_roles where rolname = role)
\gexec
alter role airflow login password :'airflow_password';
alter role features_owner login password :'features_owner_password';
alter role features_writer login password :'features_writer_password';
alter role features_reader login password :'features_reader_password';
-- As migrate does where it may: room for loads, unless somebody has set a limit.
select format(
    'alter role features_reader connection limit %s',
    current_setting('max_connections')::integer / 2
)
from pg_roles
where rolname = 'features_reader' and rolconnlimit = -1
\gexec

select format('create database %I owner %I', name, owner)
from (values ('airflow', 'airflow'), ('experiment_features', 'features_owner')) as wanted (name, owner)
where not exists (select from pg_database where datname = name)
\gexec
revoke all on database postgres, template1, airflow, experiment_features from public;
grant connect on database experiment_features to features_writer, features_reader;
-- The schema grants this too, but a backup does not hold what is granted on a database.
grant temporary on database experiment_features to features_writer;
