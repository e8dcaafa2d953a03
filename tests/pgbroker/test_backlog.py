"""The cost of a claim follows what it takes, not what lies in the table. Counted in pages that Postgres touches."""

import psycopg2
import pytest
from big_queue import explain, fill, fill_ended, filled_database, run

from pgbroker.claim import Claims
from pgbroker.connections import Connections, Line

ID = "00000000-0000-0000-0000-000000000001"
CLAIM = {
    "queues": ["crowd"], "limits": [8], "floors": [None], "level_queues": [], "level_priorities": [],
    "level_floors": [], "process_id": ID, "due_seconds": None,
}  # fmt: skip
TURNS = {"queue_name": "crowd", "how_many": 8, "after": "tenant 3", "process_id": ID}
LOCK = {"queue_name": "crowd", "after": "", "most_keys": 50}
LIMITED = {
    "queue_name": "crowd", "run_keys": [f"key {n}" for n in range(50)], "how_many": 8, "share": 4, "floor": None,
    "level_priorities": [], "level_floors": [], "process_id": ID,
}  # fmt: skip
PREPARED = pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "behind a pooler"])


@pytest.fixture(scope="module")
def little(server):
    """A thousand messages wait for their time, a thousand of 31 tenants are ready, and so are a hundred keys.

    No less, because an index of one page is cheaper than any other.
    """
    with filled_database(server) as connection:
        fill(connection, later=1_000, priority=-1)
        fill(connection, ready=1_000, tenants=31)
        fill(connection, ready=1_000, run_keys=1_000, running=1_000)
        fill_ended(connection, finished=1_000)
        run(connection, "vacuum analyze")
        yield connection


@pytest.fixture(scope="module")
def much(server):
    """60,000 of each; one tenant has nearly all; and 5,000 keys wait for what runs with them."""
    with filled_database(server) as connection:
        fill(connection, later=60_000, priority=-1)
        fill(connection, ready=60_000, tenants=1)
        fill(connection, ready=100, tenants=31)
        fill(connection, ready=5_000, run_keys=5_000, running=5_000)
        fill_ended(connection, finished=60_000)
        run(connection, "vacuum analyze")
        yield connection


def cost(connection, name, parameters, prepared, taken=8):
    plan = explain(connection, name, parameters, prepared=prepared, analyze=True)
    assert plan.nodes[0]["Actual Rows"] == taken
    return plan.buffers


@PREPARED
@pytest.mark.parametrize(("name", "parameters"), [("claim", CLAIM), ("claim_turns", TURNS)], ids=["age", "turns"])
def test_a_claim_costs_the_same_over_a_backlog(little, much, name, parameters, prepared):
    few, many = (cost(connection, name, parameters, prepared) for connection in (little, much))
    print(f"{few} pages, {many} over the backlog")
    assert many <= 1.5 * few


@PREPARED
@pytest.mark.parametrize("name", ["peek", "survey"])
def test_a_look_costs_the_same_over_a_backlog(little, much, name, prepared):
    few, many = (
        cost(connection, name, {"queues": ["crowd"], "floors": [None]}, prepared, 1) for connection in (little, much)
    )
    print(f"{few} pages, {many} over the backlog")
    assert many <= 1.5 * few


@PREPARED
def test_a_look_at_fifty_keys_costs_the_same_where_thousands_wait(little, much, prepared):
    # The first 25 keys and those of the 25 oldest messages, some of which are the same.
    few = cost(little, "limited_lock", LOCK, prepared, 46) + cost(little, "limited_claim", LIMITED, prepared, 0)
    many = cost(much, "limited_lock", LOCK, prepared, 48) + cost(much, "limited_claim", LIMITED, prepared, 0)
    print(f"{few} pages, {many} where 5,000 keys wait")
    assert many <= 1.5 * few


def test_claims_do_not_walk_again_over_what_an_open_snapshot_keeps(server):
    """30,000 messages were claimed and finished while somebody's transaction is open: their rows cannot be removed."""
    with filled_database(server) as connection:
        url = server.url(database=connection.info.dbname)
        reader = psycopg2.connect(url)
        reader.set_session(isolation_level="REPEATABLE READ")
        run(reader, "select from dramatiq.queue")
        fill(connection, ready=30_000, apart_seconds=0.1)
        line = Line(Connections(url, ""))
        claims = Claims(line)
        claims.add("crowd", limited=False)
        given = []
        line.execute = lambda statement, parameters: (
            given.append(parameters) or Line.execute(line, statement, parameters)
        )
        while claims.take({"crowd": 2_000}, ID):
            run(connection, "delete from dramatiq.queue where state = 'consumed'")
        fill(connection, ready=8)
        run(connection, "analyze")
        floors = next(parameters for parameters in reversed(given) if "level_floors" in parameters)
        with_floors = cost(connection, "claim", floors | {"limits": [8]}, True)
        without = cost(connection, "claim", CLAIM, True)
        print(f"{with_floors} pages; {without} from the bottom")
        assert with_floors * 10 < without
        reader.close()
        line.close()
