"""Postgres goes by the indexes that the header of each statement names: with millions of rows, with none, and behind a
pooler, where nothing of the session can be set."""

import re
from pathlib import Path

import pytest
from big_queue import explain, fill, fill_ended, filled_database, run

import pgbroker
from pgbroker.connections import Connections, Line
from pgbroker.statements import sql

SQL = Path(pgbroker.__file__).parent / "sql"
LARGE = {"queue", "finished", "dead_letters", "results", "slots"}
CLAIMING = {"claim", "claim_turns", "limited_lock", "limited_claim", "survey", "look", "peek"}
ID = "00000000-0000-0000-0000-000000000001"
IDS = [ID] * 4
OUTCOMES = {"outcomes": "[]"}
PRUNE = {"age": "7 days", "floor": None, "batch": 1000}
MESSAGE = {
    "message_id": ID, "queue_name": "crowd", "priority": 0, "delay_ms": 0, "unique_key": "key", "tenant": None,
    "run_key": None, "run_at_most": None, "text": "{}",
}  # fmt: skip

# What worker, sender and scheduler run all the time, with parameters; several where the index depends on them.
REGULAR = {
    "claim": [
        {
            "queues": ["crowd", "other"], "limits": [8, 8], "floors": [None, "2020-01-01"], "level_queues": ["crowd"],
            "level_priorities": [0], "level_floors": ["2020-01-01"], "process_id": ID,
            "due_seconds": 0.8,
        }
    ],
    "claim_turns": [{"queue_name": "crowd", "how_many": 8, "after": "tenant 3", "process_id": ID}],
    "limited_lock": [{"queue_name": "crowd", "after": "", "most_keys": 50}],
    "limited_claim": [
        {
            "queue_name": "crowd", "run_keys": ["key 1", "key 2"], "how_many": 8, "share": 4, "floor": None,
            "level_priorities": [0], "level_floors": ["2020-01-01"], "process_id": ID,
        }
    ],
    "survey": [{"queues": ["crowd", "other"]}],
    "peek": [{"queues": ["crowd", "other"], "floors": [None, "2020-01-01"]}],
    "disown": [{"process_id": ID, "tokens": IDS}],
    "finish_done": [{"message_ids": IDS, "lease_tokens": IDS, "quiet": True}],
    "finish_rescheduled": [OUTCOMES],
    "finish_dead": [OUTCOMES],
    "finish_released": [OUTCOMES],
    "send_one": [MESSAGE],
    "send": [{"rows": "[]"}],
    "known": [{"message_ids": IDS}],
    "waiting": [{"unique_key": "key"}],
    "restore_key": [{"message_id": ID, "unique_key": "key"}],
    "beat": [
        {
            "process_id": ID, "due_seconds": 1, "backend_pid": 1, "queues": ["crowd"], "counters": None, "hears": True,
            "hears_seconds": 3, "watches": True,
        }
    ],
    "look": [{"process_id": ID, "queues": ["crowd"]}],
    "rescue": [{"young_seconds": 0.5, "most_deaths": 3}],
    "prune_finished": [PRUNE, PRUNE | {"floor": "2020-01-01"}],
    "prune_dead": [PRUNE, PRUNE | {"floor": "2020-01-01"}],
    "result_store": [{"message_ids": IDS, "results": [b"1"] * 4, "ttls_ms": [1.5] * 4}],
    "result_get": [{"message_id": ID}],
    "take_slot": [
        {
            "actor_name": "note", "schedule": "* * * * *", "zone": "UTC", "slot_at": "2020-01-01", "due_at": None,
            "open_seconds": 3.5, "hold_ms": 10_000, "message_id": ID,
        }
    ],
    "queues": [{}],
    "processes": [{}],
    "metrics_ticks": [{}],
}  # fmt: skip

# What somebody asks for: never prepared, and planned for what was asked.
BY_HAND = {
    "cancel": [{"ids": IDS}],
    "whereabouts": [{"id": ID}],
    "depth": [{"queue_name": "other"}],
    "dead_show": [{"ids": IDS}],
    "dead_list": [{"actor": None, "limit": 50}, {"actor": "actor 1", "limit": 50}],
    "dead_retry": [{"ids": IDS, "actor": None}, {"ids": None, "actor": "actor 1"}],
    "dead_discard": [{"ids": IDS, "actor": None}, {"ids": None, "actor": "actor 1"}],
    "testing_failed": [{"since": "2999-01-01", "queues": ["crowd"]}],
}

# Where any index over the messages that wait will do.
COUNTING = {"queues", "depth"}

# The rescue looks at all that runs, whoever lists dead letters at the newest.
WALKED = {"rescue": {"queue_running"}, "dead_list": {"dead_letters_by_age"}}

# Where every row of the slots is looked at once a day.
READ_THROUGH = {"prune_slots"}


@pytest.fixture(scope="module")
def millions(server):
    """A connection to a broker's database whose statistics tell of a million messages of every kind."""
    with filled_database(server) as connection:
        fill(connection, ready=10_000, later=10_000, tenants=30, running=200)
        fill(connection, ready=2_000, run_keys=1_000, running=200)
        fill(connection, "other", ready=500, priority=5)
        fill_ended(connection, finished=10_000, dead=10_000)
        run(
            connection,
            """insert into pgbroker.processes (process_id, host, pid)
                    select md5(n::text)::uuid, 'here', n from generate_series(0, 19) n;
               insert into pgbroker.actors (actor_name, queue_name)
                    select 'actor ' || n, 'crowd' from generate_series(1, 5) n;
               insert into pgbroker.slots (actor_name, slot_at, message_id)
                    select actor_name, now() - n * interval '1 min', gen_random_uuid()
                      from pgbroker.actors, generate_series(1, 1000) n;
               insert into pgbroker.results (message_id, result, expires_at)
                    select gen_random_uuid(), 'x', now() + n * interval '1 s' from generate_series(1, 1000) n""",
        )
        run(connection, "vacuum analyze")
        # As if each page held a hundred times as much: for Postgres that is two million in the queue.
        run(
            connection,
            """update pg_class set reltuples = reltuples * 100
                where relnamespace in ('dramatiq'::regnamespace, 'pgbroker'::regnamespace) and reltuples >= 500""",
        )
        yield connection


@pytest.fixture(scope="module")
def nothing(server):
    """A connection to a broker's database with statistics of empty tables."""
    with filled_database(server) as connection:
        run(connection, "vacuum analyze")
        yield connection


@pytest.fixture(scope="module")
def waiting(server):
    """A connection to a broker's database whose statistics were taken while much waited and nothing ran."""
    with filled_database(server) as connection:
        fill(connection, ready=10_000)
        run(connection, "vacuum analyze")
        yield connection


@pytest.fixture(scope="module")
def owners(nothing):
    """{index: table} of the tables that become large."""
    return {
        index: table
        for table, index in run(
            nothing,
            "select tablename, indexname from pg_indexes where schemaname in ('dramatiq', 'pgbroker')",
        )
        if table in LARGE
    }


def promised(name, owners):
    """The indexes of large tables that a statement's header names."""
    header = " ".join(line for line in (SQL / f"{name}.sql").read_text().splitlines() if line.startswith("--"))
    return owners.keys() & set(re.findall(r"\w+", header))


def read_through(name, plan):
    return {
        index or table
        for table, index in plan.read_through
        if table in LARGE and index not in WALKED.get(name, ()) and not (name in COUNTING and index)
    }


def problems(connection, name, parameters, owners, *, prepared):
    plans = [explain(connection, name, given, prepared=prepared) for given in parameters]
    used = set().union(*(plan.indexes for plan in plans))
    if name in COUNTING and "queue_turns" in used:
        used.add("queue_waiting")
    for plan in plans:
        for node in plan.nodes:  # "on conflict do nothing" asks every unique index, and no plan says so
            if node.get("Conflict Resolution") == "NOTHING" and "Conflict Arbiter Indexes" not in node:
                used |= {index for index, table in owners.items() if table == node["Relation Name"]}
        if read := read_through(name, plan):
            yield f"reads {read} from end to end"
        if name in CLAIMING and (sorted_ := LARGE & plan.sorted_tables()):
            yield f"sorts rows of {sorted_}"
    if missing := promised(name, owners) - used:
        yield f"uses {used}, and not {missing}"


@pytest.mark.parametrize("name", REGULAR)
def test_what_runs_all_the_time_goes_by_its_indexes_over_millions(millions, owners, name):
    assert list(problems(millions, name, REGULAR[name], owners, prepared=True)) == []


@pytest.mark.parametrize("name", REGULAR)
def test_a_plan_that_was_made_while_the_tables_were_empty_reads_none_from_end_to_end(nothing, name):
    """A session that began at night keeps its plans until the next analyze, through the first minute of the rush."""
    plans = [explain(nothing, name, given, prepared=True) for given in REGULAR[name]]
    assert [read for plan in plans if (read := read_through(name, plan))] == []


@pytest.mark.parametrize("name", REGULAR)
def test_a_plan_that_was_made_before_anything_ran_does_not_read_all_that_runs(waiting, name):
    plans = [explain(waiting, name, given, prepared=True) for given in REGULAR[name]]
    assert [read for plan in plans if (read := read_through(name, plan))] == []


@pytest.mark.parametrize("name", REGULAR | BY_HAND)
def test_a_session_without_any_settings_goes_by_the_indexes_over_millions(millions, owners, name):
    assert list(problems(millions, name, (REGULAR | BY_HAND)[name], owners, prepared=False)) == []


def test_every_statement_that_names_an_index_is_looked_at(owners):
    naming = {path.stem for path in SQL.glob("*.sql") if promised(path.stem, owners)}
    assert naming - REGULAR.keys() - BY_HAND.keys() == READ_THROUGH


def test_a_session_plans_each_statement_once(server, nothing):
    line = Line(Connections(server.url(database=nothing.info.dbname), ""))
    for _ in range(3):
        for name in ("claim", "survey", "finish_done"):
            line.execute(sql(name), REGULAR[name][0])
    counts = line.execute(
        "select distinct generic_plans, custom_plans from pg_prepared_statements where generic_plans > 1"
    )
    line.close()
    assert counts == [(3, 0)]
