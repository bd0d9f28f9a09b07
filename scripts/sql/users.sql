-- All features of every user, beside the average of the last load. Grain: user.
select *
from features.user_feature_report
order by user_id;
