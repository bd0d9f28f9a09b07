-- Version 8: the periods of a user are kept apart by a trigger. As an exclusion constraint, that took
-- three quarters of a load in which every user has changed, and more with every load.

-- Grain of added: period that the statement has inserted or updated. No other period of the user may
-- overlap it; the primary key keeps apart periods that begin at the same moment.
create function features.refuse_overlaps() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    overlapping record;
begin
    -- Whoever else writes the table waits here, and then sees what this transaction has written. An
    -- older snapshot would not. Loads hold this lock already.
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'user_features_past can only be written in a transaction that is read committed'
            using errcode = 'invalid_transaction_state';
    end if;
    perform pg_advisory_xact_lock(hashtext('experiment_features.load'));
    -- By execute, so that each statement gets a plan for its own number of rows. Only what ends after
    -- the first added period begins can overlap any: of an ordinary load, that is little besides what
    -- it has added itself.
    execute $query$
        select
            min(added.user_id) as user_id,
            count(*) as periods
        from added
        inner join features.user_features_past as other using (user_id)
        where
            other.valid_to > (select min(valid_from) from added)
            and other.valid_to > added.valid_from
            and other.valid_from < added.valid_to
            and other.valid_from <> added.valid_from
    $query$ into overlapping;
    if overlapping.periods > 0 then
        raise exception 'a period of user % overlaps another one of that user', overlapping.user_id
            using
                errcode = 'exclusion_violation',
                schema = 'features',
                table = 'user_features_past',
                constraint = 'periods_do_not_overlap';
    end if;
    return null;
end
$$;
create trigger periods_do_not_overlap_insert after insert on features.user_features_past
referencing new table as added for each statement execute function features.refuse_overlaps();
create trigger periods_do_not_overlap_update after update on features.user_features_past
referencing new table as added for each statement execute function features.refuse_overlaps();
alter table features.user_features_past drop constraint periods_do_not_overlap;

-- Room for a second version of each row: an update that changes no indexed column then writes no index.
alter table features.user_features set (fillfactor = 50);
