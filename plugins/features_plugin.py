"""Registers the page of features with Airflow: in the navigation, on the DAG and on its runs."""

from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

# If PYTHONPATH lacks it, Airflow reports a broken plugin. The same error in the app, later on,
# would keep the API server from starting.
import experiment_features  # noqa: F401

PREFIX = "/experiment-features"
"""Where Airflow serves the page; the href of a view is relative to Airflow's own address."""

_SHOWN = {
    "name": "Features",
    "icon": "experiment-features/static/icon.svg",
    "icon_dark_mode": "experiment-features/static/icon_dark.svg",
}
"""What Airflow shows of each view."""


class FeaturesPlugin(AirflowPlugin):
    """A page that shows features, runs and the quality of drops.

    Airflow shows the tabs of a DAG and of a run on every DAG; the address tells the page which one.
    """

    name = "experiment_features"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            **_SHOWN,
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "experiment-features",
            "href": "experiment-features/",
        },
        {
            **_SHOWN,
            "destination": "dag",
            "url_route": "features",
            "href": "experiment-features/?dag={DAG_ID}",
        },
        {
            **_SHOWN,
            "destination": "dag_run",
            "url_route": "run-features",
            "href": "experiment-features/runs/{RUN_ID}?dag={DAG_ID}",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The page's app. Only the API server asks for it; tasks must not wait for its imports."""
        from features_page.app import make_app

        return [{"name": "Experiment features", "app": make_app(), "url_prefix": PREFIX}]
