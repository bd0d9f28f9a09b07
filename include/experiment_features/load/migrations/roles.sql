-- The roles, before anything is granted to them. They belong to the whole server: another database
-- may have made them, even at this moment.
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
