-- The report that a query without arguments prints. Grain: user.
select
    user_id,
    user_name,
    total_experiments,
    average_experiments_per_user,
    most_common_compound_name as most_common_compound,
    most_common_compound_experiments as used_in
from features.user_feature_report
order by user_id;
