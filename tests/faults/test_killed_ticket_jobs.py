"""Workers die at the statements with which the ticket jobs write; others go on.

Each ticket and revision has one result of each kind, no message is lost, and what triage had learnt stays in force.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from builders import new_organization
from faults.nursery import Nursery, Process
from labelling import MATTERS, subjects
from waiting import until

from desk import database
from desk.kb import articles, indexing
from desk.sla.policies import publish
from desk.tickets import imports

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]
SQL = " ".join(str(folder.relative_to(ROOT)) for folder in sorted((ROOT / "desk" / "tickets").rglob("sql")))
LEFT = "select count(*) from dramatiq.queue where queue_name = 'tickets' and state <> 'done'"
POINTS = [
    "store_vectors:committed:1",
    "keep_triage:uncommitted:1",
    "keep_suggestions:uncommitted:1",
    "keep_draft:uncommitted:1",
    "keep_sentiment:committed:1",
    "keep_prediction:uncommitted:1",
]
WHILE_LEARNING = ["end_triage_model:before:1", "end_triage_model:uncommitted:1"]  # a third death would be a dead letter
POLICY = {
    "name": "All", "default": True, "calendar": None, "targets_in": "minutes",
    "targets": {"resolution": {"urgent": 60, "high": 240, "medium": 480, "low": 960}},
}  # fmt: skip


@pytest.fixture
def worker(nursery: Nursery, tmp_path: Path, model_dir: Path, database_name: str) -> Iterator[Callable[..., Process]]:
    """A `dramatiq` process with the desk's actors; it dies at a point, where one is named. All end with the test."""
    started: list[Process] = []

    def start(point: str = "none:before:1") -> Process:
        environment = {"KILL_AT": point, "POINTS_SEEN": str(tmp_path / "seen"), "POINTS_ALSO": SQL}
        log = tmp_path / f"{len(started)}.log"
        started.append(
            nursery.start(log, "dramatiq", "desk_jobs", "-p", "1", "-t", "2", "-Q", "tickets", **environment)
        )
        return started[-1]

    yield start
    for process in started:
        kill(process)
        print(process.log.read_text()[-2000:])


def kill(process: Process) -> None:
    if process.poll() is None:
        parent = psutil.Process(process.pid)
        for victim in [*parent.children(recursive=True), parent]:
            victim.kill()
        process.wait()


def dies(process: Process, point: str, seen: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    def died() -> bool:
        return f"died {point}" in (seen.read_text() if seen.exists() else "")

    until(lambda: meanwhile() or died(), f"it dies at {point}", 120)
    kill(process)
    seen.unlink()


def import_labelled(organization: UUID, each: int, after: int = 0) -> None:
    common = dict.fromkeys(imports._COLUMNS) | {
        "body": "", "status": "closed", "priority": "medium", "category_by": "person", "tags": [],
        "created_at": "2026-01-05T09:00:00Z", "resolved_at": "2026-01-06T09:00:00Z",
    }  # fmt: skip
    rows = [common | {"subject": s, "category": c} for c in MATTERS for s in subjects(c, each, after)]
    with database.transaction(organization) as connection:
        imports.store_all(connection, organization, rows)


@pytest.fixture
def settled(ask: Callable[..., list]) -> None:
    until(lambda: ask("select pg_postmaster_start_time() < now() - interval '16 s'") == [(True,)], "rescues begin")


def test_each_ticket_and_revision_has_one_result_whoever_died(worker, settled, ask, owner, tmp_path):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    organization = new_organization(owner, "Acme")
    import_labelled(organization, 12)
    with database.transaction(organization) as connection:
        publish(connection, organization, POLICY)
        said = "A parcel that is late comes within a week. Ask the courier for its number and wait for two more days."
        articles.put(connection, organization, external_id="late", title="Late parcels", body_md=said)
    indexing.index(organization)
    worker()
    fresh = iter(subjects("delivery", 300))

    def more() -> None:
        """A ticket that comes in, one that is accepted, one that is edited: when all others are done."""
        if ask(LEFT) == [(0,)]:
            insert = "insert into tickets (organization_id, subject) values (%s, %s) returning id"
            made = [ask(insert, organization, next(fresh))[0][0] for _ in range(3)]
            ask("update tickets set status = 'accepted' where id = %s", made[0])
            ask("update tickets set body = 'It is urgent' where id = %s", made[1])

    for point in dice.sample(POINTS, len(POINTS)):
        until(lambda: ask(LEFT) == [(0,)], "all is done", 120)
        dies(worker(point), point, tmp_path / "seen", more)
    until(lambda: ask(LEFT) == [(0,)], "all is done", 120)
    assert ask("select reason, error from pgbroker.dead_letters") == []
    wrong = ask("""
        select t.id, t.revision from tickets t
         where t.status <> 'closed'
           and ((select count(*) from triage_results r where r.ticket_id = t.id and r.revision = t.revision) <> 1
             or (select count(*) from drafts d where d.ticket_id = t.id and d.revision = t.revision) <> 1
             or (select count(*) from sentiments s where s.ticket_id = t.id and s.revision = t.revision) <> 1
             or (select count(*) from ticket_embeddings e where e.ticket_id = t.id and e.revision = t.revision) <> 1
             or (select count(*) from suggestions s where s.ticket_id = t.id and s.ticket_revision <> t.revision) > 0
             or t.status <> 'new' and not exists (select from breach_predictions p where p.ticket_id = t.id))""")
    assert wrong == []
    assert ask("select count(*) > 0 from suggestions") == [(True,)]


def test_killed_while_it_learns_the_old_model_goes_on_and_the_next_worker_learns(worker, settled, ask, owner, tmp_path):
    organization = new_organization(owner, "Acme")
    ask("update organization_settings set suggest = false, draft = false, sentiment = false")
    import_labelled(organization, 52)
    first = worker()
    until(lambda: ask("select version from triage_models where state = 'active'") == [(1,)], "the first is active", 120)
    until(lambda: ask(LEFT) == [(0,)], "all is done")
    kill(first)
    import_labelled(organization, 6, after=52)
    for point in WHILE_LEARNING:
        dies(worker(point), point, tmp_path / "seen")
        assert ask("select version from triage_models where state = 'active' and what = 'category'") == [(1,)]
    worker()
    until(lambda: ask(LEFT) == [(0,)], "all is done", 120)
    assert ask("select reason, error from pgbroker.dead_letters") == []
    found = dict(ask("select version, state from triage_models where what = 'category'"))
    newest = max(found)
    assert found[newest] == "active"
    assert found[1] == "retired"
    assert {state for version, state in found.items() if 1 < version < newest} <= {"rejected"}
    assert ask("select count(*) from triage_models where state = 'building'") == [(0,)]
