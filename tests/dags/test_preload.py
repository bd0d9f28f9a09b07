"""The process that tasks are forked from has everything heavy, and nothing of ours."""

import json
import subprocess
import sys
from configparser import RawConfigParser
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROBE = """
import gc, json, sys
import features_airflow.preload
loaded = set(sys.modules)
import experiment_features.pipeline
later = set(sys.modules) - loaded
print(json.dumps([gc.get_freeze_count(), sorted(loaded), sorted(later)]))
"""


def test_preload() -> None:
    """A task imports the package anew, and nothing else; what it shares is out of the collector."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={"PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        check=True,
    )
    frozen, loaded, later = json.loads(done.stdout)
    assert frozen > 50_000
    ours = ("experiment_features", "features_airflow")
    assert {name for name in loaded if name.startswith(ours)} == {
        "features_airflow",
        "features_airflow.preload",
    }
    light = {"experiment_features", *sys.stdlib_module_names}
    assert [name for name in later if name.partition(".")[0] not in light] == []


def test_every_module_of_the_list_exists() -> None:
    """The process skips what it cannot import, and every task then imports it for itself."""
    settings = RawConfigParser()
    settings.read_string((ROOT / "deploy" / "airflow" / "airflow.cfg").read_text())
    modules = settings["core"]["mp_forkserver_preload"].split(",")
    assert modules[-1] == "features_airflow.preload"  # it freezes what the others have imported
    assert [name for name in modules if not find_spec(name)] == []
