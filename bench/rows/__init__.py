"""The lines of the comparison, in the order of issue and table."""

from bench.row import Row
from bench.rows import drain

ROWS: dict[str, Row] = {row.name: row for row in (drain.ONE, drain.TWO)}
