-- Creates the roles that grants.sql refers to. Roles belong to the whole server, so a migration of
-- another database may have created them, perhaps at this very moment. Where only an administrator
-- may create roles, an installation of before version 4 goes on without features_steward.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['features_writer', 'features_reader', 'features_steward'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    if wanted <> 'features_steward' then
                        raise;
                    end if;
            end;
        end if;
    end loop;
end
$$
