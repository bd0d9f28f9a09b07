"""What the footers of Parquet files tell of a table's rows, so that fewer rules have to be checked.

Plainly: no rule can be skipped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from experiment_features.rules.rules import Repeated, Rule, Unknown
from experiment_features.run import Extracted


def can_skip(
    rule: Rule,
    extracted: Extracted,
    rejected: Mapping[str, int],
    parts: Mapping[str, Sequence[Path]],
) -> bool:
    """Whether no row breaks a rule, as far as is known without reading the rows.

    Args:
        rule: the rule.
        extracted: what extract found; of several layers, not all rows may be in force.
        rejected: the number of rejected rows of every table that is checked already.
        parts: of every table that is checked already, and of this one.
    """
    if isinstance(rule.condition, Repeated):
        return rule.table.name in extracted.rising_keys
    if not isinstance(rule.condition, Unknown) or len(extracted.layers) > 1:
        return False
    if rejected[rule.condition.table.name]:
        return False
    table = rule.condition.table
    known = _range_of(parts[table.name], table.key)
    named = _range_of(parts[rule.table.name], rule.column)
    if known is None or named is None:
        return False
    has_gaps = known.stop - known.start > extracted.rows[table.name]
    return not has_gaps and known.start <= named.start and named.stop <= known.stop


def _range_of(parts: Sequence[Path], column: str | None) -> range | None:
    """From the lowest to the highest of a column's integers, or of its lists' items.

    None if one of the files does not tell.
    """
    statistics = [
        chunk.statistics
        for metadata in map(pq.read_metadata, parts)
        for group in map(metadata.row_group, range(metadata.num_row_groups))
        for chunk in map(group.column, range(group.num_columns))
        if chunk.path_in_schema.partition(".")[0] == column
    ]
    if not statistics or not all(known and known.has_min_max for known in statistics):
        return None
    return range(min(known.min for known in statistics), max(known.max for known in statistics) + 1)
