-- For this transaction: a timeout, and indexes wherever they exist. The planner would otherwise
-- scan a whole table if it expects a run to be half of it, or if it has no statistics yet.
-- Value: timeout.
select
    set_config('statement_timeout', %(timeout)s, true),
    set_config('enable_seqscan', 'off', true)
