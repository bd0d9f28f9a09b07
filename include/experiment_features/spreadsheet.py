"""Text that is safe to open in a spreadsheet."""

import re
from typing import Any

from experiment_features.visible_text import INVISIBLE

# A spreadsheet takes a cell that begins like this for a formula (OWASP, "CSV injection"). If it
# splits cells at another separator than the file's, a formula may also begin within a text. It may
# leave out invisible characters before it. Each character is looked at a few times only: a cell may
# be long, and nothing else runs in the server meanwhile.
_FORMULA = re.compile(
    r"(^|[,;|\t\r\n])"
    rf"(?=(?:(?![\t\r\n])[\s\"'{INVISIBLE}])*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
)

_NEGATIVE = re.compile(r"-[0-9]+(?:[.,][0-9]+)?")


def escape_formulas(value: Any) -> Any:
    """The value, with an apostrophe before each place in a text where a formula could begin."""
    if not isinstance(value, str) or _NEGATIVE.fullmatch(value):
        return value
    return _FORMULA.sub(r"\1'", value)
