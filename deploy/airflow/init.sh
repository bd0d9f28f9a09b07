#!/usr/bin/env bash
# Upgrades both databases and the accounts to this version of the image; safe to run again. Its
# arguments are those of `migrate`.
set -euo pipefail

password=$(</run/secrets/features_owner_password)
airflow db migrate
DATABASE_URL=postgresql://features_owner:$password@/experiment_features \
    python -m experiment_features migrate "$@"
python /opt/airflow/deploy/airflow/access.py
