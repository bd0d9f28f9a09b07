-- Names this transaction for others that wait for it, limits how long it may take or wait, and gives
-- it memory.
-- Values: application_name, timeout, lock_timeout (as in '1500ms').
select
    set_config('application_name', %(application_name)s, true),
    set_config('statement_timeout', %(timeout)s, true),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, true),
    set_config('lock_timeout', %(lock_timeout)s, true),
    -- Joins of all users fit into this, or at least need fewer passes; a server may allow more.
    set_config(
        'work_mem', greatest(pg_size_bytes(current_setting('work_mem')) / 1024, 65536) || 'kB', true
    ),
    set_config('jit', 'off', true) -- compiling takes longer than it saves
