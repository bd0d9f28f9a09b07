-- Names this transaction for others that wait for it, and limits how long it may take or wait.
-- Values: application_name, timeout, lock_timeout (as in '1500ms').
select
    set_config('application_name', %(application_name)s, true),
    set_config('statement_timeout', %(timeout)s, true),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, true),
    set_config('lock_timeout', %(lock_timeout)s, true)
