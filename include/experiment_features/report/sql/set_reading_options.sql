-- For this transaction: an end, and an index wherever there is one. The planner would rather read all
-- of a table when it takes a run for half of it, or when it has no statistics yet. Value: timeout.
select
    set_config('statement_timeout', %(timeout)s, true),
    set_config('enable_seqscan', 'off', true)
