-- Version 9: names are found by the beginning of any word, and a rejected run says which table it was.

create table features.user_words (
    name_from text collate "C" not null,
    user_id bigint not null,
    name_before text collate "C" not null,
    primary key (name_from, user_id) include (name_before)
);
comment on table features.user_words is
    'Grain: word of a user''s name. name_from is the name from that word on, without case, accents and punctuation; name_before what is before it.';
create table features.compound_words (
    name_from text collate "C" not null,
    compound_id bigint not null,
    name_before text collate "C" not null,
    primary key (name_from, compound_id) include (name_before)
);
comment on table features.compound_words is 'Grain: word of a compound''s name. The same for compounds.';
-- Every load that changed a user had to write this index, although names seldom change.
drop index if exists features.user_features_by_name;

alter table features.pipeline_runs add column judged jsonb;
comment on column features.pipeline_runs.judged is
    'Of a rejected run: by table, the rows and the rejected_rows that max_rejected_percent compared.';
