-- For this transaction: timeouts, and indexes wherever they exist. The planner would otherwise scan a
-- whole table if it expects a run to be half of it, or if it has no statistics yet.
-- Values: timeout, idle_timeout.
select
    set_config('statement_timeout', %(timeout)s, true),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
    set_config('enable_seqscan', 'off', true)
