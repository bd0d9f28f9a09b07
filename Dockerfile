# The image of all Airflow services: Airflow's own, with the locked requirements and this project.
FROM apache/airflow:3.3.2-python3.13

LABEL org.opencontainers.image.title="experiment-features" \
      org.opencontainers.image.description="Features per user from a laboratory's CSV files" \
      org.opencontainers.image.licenses="Apache-2.0"

# Byte code is made here, once: at run time the file system is read-only.
ENV AIRFLOW_CONFIG=/opt/airflow/deploy/airflow/airflow.cfg \
    CONNECTION_CHECK_MAX_COUNT=0 \
    EXPERIMENT_FEATURES_STORE=/opt/airflow/store \
    EXPERIMENT_FEATURES_WORKSPACES=/opt/airflow/workspaces \
    PGHOST=postgres \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/airflow/include

# Exactly the locked packages: what the base image has beyond them goes.
COPY requirements.txt /opt/airflow/
COPY requirements/docker.txt requirements/connect.txt /opt/airflow/requirements/
RUN uv pip sync --no-cache --compile-bytecode --require-hashes \
        /opt/airflow/requirements.txt /opt/airflow/requirements/docker.txt \
        /opt/airflow/requirements/connect.txt \
    && mkdir -p /opt/airflow/workspaces /opt/airflow/store/user_experiments

# What changes most comes last. .dockerignore leaves out what the image does not need.
# The code is root's: no process of the image may change it.
USER 0
COPY . /opt/airflow/
RUN chmod -R a+rX /opt/airflow/dags /opt/airflow/deploy /opt/airflow/include /opt/airflow/plugins \
    && chmod a+r /opt/airflow/requirements.txt \
    && python -m compileall -q /opt/airflow/dags /opt/airflow/include /opt/airflow/plugins
# Which code this is, for the ledger: the image has no repository. scripts/start_docker.sh gives it.
ARG COMMIT=
ENV EXPERIMENT_FEATURES_COMMIT=$COMMIT
LABEL org.opencontainers.image.revision=$COMMIT
USER 50000

ENTRYPOINT ["/usr/bin/dumb-init", "--", "/opt/airflow/deploy/airflow/entrypoint.sh"]
