"""The lines of the comparison, in the order of the tables."""

from bench.row import Row
from bench.rows import backlog, bulk, delayed, drain, held, idle, latency, send, senders

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        drain.ONE,
        drain.TWO,
        send.ROW,
        senders.ROW,
        bulk.ROW,
        latency.ROW,
        delayed.ROW,
        idle.ROW,
        backlog.ROW,
        held.row(),
    )
}
