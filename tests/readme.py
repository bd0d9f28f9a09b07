"""Reads the README's commands, and the JSON in what they print."""

import json
import re
from pathlib import Path
from typing import Any

README = (Path(__file__).parents[1] / "README.md").read_text()


def commands(heading: str) -> str:
    """Return all shell blocks below a heading as one script."""
    _, section = re.split(rf"^#+ {heading}$", README, flags=re.MULTILINE)
    section, *_ = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)
    return "\n".join(re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def objects(text: str) -> list[Any]:
    """Return the JSON objects in a text, whatever is between them, such as lists in a table."""
    found, end = [], 0
    while (start := text.find('{"', end)) >= 0:
        value, end = json.JSONDecoder().raw_decode(text, start)
        found.append(value)
    return found
