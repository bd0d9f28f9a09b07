-- Creates the roles that grants.sql refers to. Roles belong to the whole server, so a migration of
-- another database may have created them, perhaps at this very moment.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['features_writer', 'features_reader'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;
end
$$
