-- Fills the staging of user features. Grain: user.
copy staged_user_features from stdin
