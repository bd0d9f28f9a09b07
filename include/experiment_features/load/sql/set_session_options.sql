-- Sets whatever changes the meaning of what this session sends and reads, how long a statement may
-- take or wait for a lock, and how long the session may be idle in a transaction.
-- Values: timeout, lock_timeout (as in '30s').
select
    set_config('client_encoding', 'UTF8', false),
    set_config('datestyle', 'ISO, YMD', false),
    set_config('intervalstyle', 'postgres', false),
    set_config('timezone', 'UTC', false),
    set_config('extra_float_digits', '1', false), -- as many as it takes to read the same double
    set_config('standard_conforming_strings', 'on', false),
    set_config('row_security', 'off', false), -- an error instead of rows that a policy hides
    -- At a stricter level, snapshots would be older than the locks that sessions have waited for.
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('statement_timeout', %(timeout)s, false),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, false),
    set_config('lock_timeout', %(lock_timeout)s, false),
    ( -- no limit; one of them is new in version 17
        select count(set_config(name, '0', false))
        from unnest(array['idle_session_timeout', 'transaction_timeout']) as name
        where current_setting(name, true) is not null
    )
