-- Fills the staging of compound features. Grain: compound.
copy staged_compound_features from stdin
