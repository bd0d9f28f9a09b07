"""The features: name, type, unit and meaning of each, once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """A column of features; the meaning is written for the people who use it."""

    name: str
    sql_type: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Relation:
    """A table of features, with one row per key."""

    name: str
    key: str
    features: tuple[Feature, ...]


USER_FEATURES = Relation(
    "user_features",
    key="user_id",
    features=(
        Feature("user_id", "bigint", "", "The user's id."),
        Feature("user_name", "text", "", "The user's name."),
        Feature(
            "total_experiments",
            "bigint",
            "experiments",
            "How many experiments the user ran; 0 if none.",
        ),
        Feature(
            "average_experiment_run_time",
            "double precision",
            "the drop's own",
            "The mean run time of the user's experiments. An empty run time is unknown, not 0, and "
            "is left out. Null if no run time is known.",
        ),
        Feature(
            "average_compounds_per_experiment",
            "double precision",
            "compounds",
            "The mean number of different compounds in an experiment of the user. Null for a user "
            "without experiments.",
        ),
        Feature(
            "most_common_compound_id",
            "bigint",
            "",
            "The compound that occurs in the most experiments of the user; if several tie, the one "
            "with the lowest id. Null for a user without experiments.",
        ),
        Feature("most_common_compound_name", "text", "", "The name of that compound."),
        Feature(
            "most_common_compound_experiments",
            "bigint",
            "experiments",
            "How many of the user's experiments contain that compound.",
        ),
        Feature(
            "most_common_compound_ids",
            "bigint[]",
            "",
            "All compounds that tie for most common, in ascending order; the first is "
            "`most_common_compound_id`.",
        ),
    ),
)

COMPOUND_FEATURES = Relation(
    "compound_features",
    key="compound_id",
    features=(
        Feature("compound_id", "bigint", "", "The compound's id."),
        Feature("compound_name", "text", "", "The compound's name."),
        Feature(
            "total_experiments",
            "bigint",
            "experiments",
            "How many experiments contain the compound; 0 if none.",
        ),
        Feature(
            "total_users",
            "bigint",
            "users",
            "How many users have run such an experiment; 0 if none.",
        ),
    ),
)

RELATIONS = (USER_FEATURES, COMPOUND_FEATURES)
