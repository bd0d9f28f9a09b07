"""Names are found by the beginning of any word, and a rejected run says which table it was."""

from pathlib import Path
from typing import Any

from alembic import op

from experiment_features.definitions import RELATIONS
from experiment_features.load.words import fill_words

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds the words of all names, and the column."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
    for relation in RELATIONS:
        fill_words(driver, relation)
