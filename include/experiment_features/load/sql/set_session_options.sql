-- Sets whatever changes the meaning of what this session sends and reads, and how long a statement
-- may take or wait for a lock. Values: timeout, lock_timeout (as in '30s').
select
    set_config('client_encoding', 'UTF8', false),
    set_config('datestyle', 'ISO, YMD', false),
    set_config('intervalstyle', 'postgres', false),
    set_config('timezone', 'UTC', false),
    set_config('extra_float_digits', '1', false), -- as many as it takes to read the same double
    set_config('standard_conforming_strings', 'on', false),
    set_config('row_security', 'off', false), -- an error instead of rows that a policy hides
    set_config('search_path', 'pg_catalog, public', false),
    set_config('statement_timeout', %(timeout)s, false),
    set_config('lock_timeout', %(lock_timeout)s, false)
