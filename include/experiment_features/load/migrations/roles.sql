-- Creates the roles that grants.sql refers to. Roles belong to the whole server, so a migration of
-- another database may have created them, perhaps at this very moment. Where only an administrator
-- may create roles, an installation from before version 4 continues without features_steward.
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
    -- Readers cannot use up the connections that loads need. -1 means that no limit has been set.
    if exists (select from pg_roles where rolname = 'features_reader' and rolconnlimit = -1) then
        begin
            execute format(
                'alter role features_reader connection limit %s',
                current_setting('max_connections')::integer / 2
            );
        exception
            -- An administrator created the role, or another migration is setting the limit.
            when insufficient_privilege or internal_error then null;
        end;
    end if;
end
$$
