-- How many users and compounds there are features of. Grain: one row.
select
    (select count(*) from features.user_features) as users,
    (select count(*) from features.compound_features) as compounds
