"""The published way: pandas.read_csv, groupby and Counter, DataFrame.to_sql, without checks.

    published.py SOURCE DATABASE_URL

Written the way authors of such pipelines write it; computes the three features that they do.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
from sqlalchemy import create_engine


def most_common_compound(compound_ids: "pd.Series[str]") -> int:
    """Returns the compound that is in most of the lists."""
    counter: Counter[str] = Counter()
    for ids in compound_ids:
        counter.update(ids.split(";"))
    return int(counter.most_common(1)[0][0])


if __name__ == "__main__":
    source, url = Path(sys.argv[1]), sys.argv[2]
    users = pd.read_csv(source / "users.csv")
    compounds = pd.read_csv(source / "compounds.csv")
    experiments = pd.read_csv(
        source / "user_experiments.csv", dtype={"experiment_compound_ids": str}
    )

    by_user = experiments.groupby("user_id")
    total = by_user["experiment_id"].count().rename("total_experiments")
    common = by_user["experiment_compound_ids"].apply(most_common_compound)
    common = common.rename("most_common_compound_id")

    features = users[["user_id", "name"]].merge(total, on="user_id", how="left")
    features["total_experiments"] = features["total_experiments"].fillna(0).astype(int)
    features["average_experiments_per_user"] = features["total_experiments"].mean()
    features = features.merge(common, on="user_id", how="left")
    features = features.merge(
        compounds[["compound_id", "compound_name"]],
        left_on="most_common_compound_id",
        right_on="compound_id",
        how="left",
    ).drop(columns="compound_id")

    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    features.to_sql("user_features", engine, if_exists="replace", index=False)
    total_experiments = int(features["total_experiments"].sum())
    print(json.dumps({"users": len(features), "experiments": total_experiments}))
