"""A worker of the knowledge base dies around every statement of the desk's; another finishes what it was at.

After each death, and at the end, an article has all of its chunks and vectors or none of them, and search has the last
text of each.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.nursery import Nursery, Process
from faults.test_kill_points import Try, at, seen
from faults.trial import Trial, child_of
from waiting import until

ARTICLES = 6
SECTIONS = 3
LONGEST_SECONDS = 90  # each process loads the model, several at the same time

POISON = """
    create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'cannot take this'; end $$;
    create trigger refuse before insert on chunks for each row when (new.text like '%arsenic%')
    execute function refuse();
"""
HALVES = """
    select a.external_id, count(*) from chunks c join articles a on a.id = c.article_id
     group by a.external_id having count(*) <> %(sections)s
    union all
    select 'a chunk without a vector', count(*) from chunks c
     where not exists (select from embeddings e where e.organization_id = c.organization_id
                          and e.chunk_sha = c.chunk_sha) having count(*) > 0
    union all
    select 'a vector without a chunk', count(*) from embeddings e
     where not exists (select from chunks c where c.organization_id = e.organization_id
                          and c.chunk_sha = e.chunk_sha) having count(*) > 0
"""


@pytest.fixture(scope="module")
def nursery(model_dir: Path) -> Iterator[Nursery]:
    """Whose children have imported what a worker of the knowledge base needs, but for what embeds: onnxruntime has a
    thread from its import on, which a forked process waits for in vain at its end."""
    nursery = Nursery("actors")
    yield nursery
    nursery.end()


def body(article: int, edition: int) -> str:
    texts = [f"Number {article}.{section}, edition {edition}: what to do." for section in range(SECTIONS)]
    return "\n\n".join(f"## Part {section}\n\n{text}" for section, text in enumerate(texts))


def publish(trial: Trial, edition: int, articles: range = range(ARTICLES)) -> None:
    for number in articles:
        trial.ask(
            "insert into articles (organization_id, external_id, title, body_md)"
            " select id, %(name)s, %(name)s, %(body)s from organizations"
            " on conflict (organization_id, external_id) do update set body_md = excluded.body_md",
            {"name": f"Article {number}", "body": body(number, edition)},
        )


def a_help_centre(trial: Trial) -> None:
    trial.ask("insert into organizations (name) values ('Acme')")
    publish(trial, 1)


def worker_that_indexes(trial: Trial, point: str) -> None:
    """One article of several is refused by the database."""
    a_help_centre(trial)
    trial.ask(POISON)
    trial.ask("update articles set body_md = 'A cup of arsenic.' where external_id = 'Article 0'")
    victim = worker(trial, **at(trial, point))
    until(lambda: victim.poll() is not None, "it dies at its point", LONGEST_SECONDS)
    assert any(line.startswith("died ") for line in seen(trial)), f"it ended elsewhere, with {victim.poll()}"


def worker(trial: Trial, **environment: str) -> Process:
    return trial.start(
        "dramatiq", "kb_worker", "-Q", "kb", "-p", "1", "-t", "2",
        ATUM_DATABASE_URL=trial.url, ATUM_HOME=str(trial.logs), **environment,
    )  # fmt: skip


def whole(trial: Trial) -> None:
    """No article is half there."""
    assert trial.ask(HALVES, {"sections": SECTIONS}) == []


def right(trial: Trial, editions: dict[int, int]) -> None:
    """Each article is there as it was last written."""
    whole(trial)
    wanted = sorted(
        (f"Article {number}", section, f"Number {number}.{section}, edition {edition}: what to do.")
        for number, edition in editions.items()
        for section in range(SECTIONS)
    )
    found = "select a.external_id, c.ord, c.text from chunks c join articles a on a.id = c.article_id order by 1, 2"
    assert trial.ask(found) == wanted


def indexed(trial: Trial) -> bool:
    return trial.count("article_index where state = 'pending'") == 0


# A worker comes to these with an article among others that the database refuses.
STATEMENTS = [
    "select-name-from-organizations-where-id-s",
    "select-id-name-nullif-current_setting-app-embed_model_id-true",
    "select-m-id-m-name-from-model_builds-b",
    "select-to_regclass-public-embeddings-is-not-null",
    "with-mine-as-select-article_id-from-article_index-where",
    "with-renewed-as-select-article_id-from-article_index-where",
    "select-chunk_sha-created_at-from-embeddings-where-organization_id-organization_id",
    "select-lock_vectors-organization_id-s",
    "select-wanted_revision-from-article_index-where-organization_id-organization_id-s",
    "insert-into-embeddings-organization_id-model_id-chunk_sha-embedding",
    "select-count-from-embeddings-where-organization_id-organization_id-s",
    "delete-from-chunks-where-organization_id-organization_id-s-and",
    "insert-into-chunks-organization_id-article_id-article_revision-ord-heading_path",
    "with-gone-as-select-replaced-chunk_sha-from-unnest",
    "update-article_index-set-state-ok-done_revision-revision-s",
    "with-failed-as-update-article_index-set-attempts-attempts",
    "with-released-as-select-article_id-from-article_index-where",
    "select-pgbroker-enqueue-index_articles-args-jsonb_build_array-organization_id-s",
    "select-count-from-article_index-where-organization_id-s-and",
    "select-build-model_id-from-model_builds-as-build-where",
    "select-exists-select-from-article_index-where-organization_id-organization_id",
]
# The last statement of each transaction that writes: of it there is a moment after the commit.
ENDS = [STATEMENTS[place] for place in (4, 5, 14, 15, 16, 18)]
SECOND = [STATEMENTS[place] for place in (9, 14)]  # of the second article, when one is there already
READ = [name for name in STATEMENTS if name.startswith("select-") and "lock" not in name and "enqueue" not in name]
TRIES = [
    Try(worker_that_indexes, point)
    for point in [f"{name}:before:1" for name in STATEMENTS]
    + [f"{name}:committed:1" for name in ENDS]
    + [f"{name}:before:2" for name in SECOND]
]
# Who dies before a look has done what it had done after the statement before: once in a while is enough.
MARKED = [pytest.param(one, marks=pytest.mark.soak) if one.point.split(":")[0] in READ else one for one in TRIES]


def play(trial: Trial, one: Try) -> None:
    one.scene(trial, one.point)
    whole(trial)
    publish(trial, 2, range(2))  # meanwhile somebody writes, and mends the bad one
    worker(trial)
    until(lambda: indexed(trial), "everything is indexed", LONGEST_SECONDS)
    right(trial, {number: 2 if number < 2 else 1 for number in range(ARTICLES)})
    trial.finish(LONGEST_SECONDS)
    assert trial.count("pgbroker.dead_letters") == 0
    for point in [line[4:] for line in seen(trial) if line.startswith("saw ") and line.endswith(":before")]:
        assert any(each.point.startswith(f"{point}:") for each in TRIES), f"nobody dies at {point}"


@pytest.mark.parametrize("one", MARKED, ids=str)
def test_a_worker_that_dies_at_a_statement_leaves_no_half_article(ahead: Callable[..., str], one: Try):
    problem = ahead(play, one)
    assert not problem, problem


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)])])
def test_workers_that_die_at_random_moments_leave_no_half_article(short_trial: Trial, kills: int):
    trial = short_trial
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**9)))
    print("seed", seed)
    dice = random.Random(seed)
    a_help_centre(trial)
    editions = dict.fromkeys(range(ARTICLES), 1)
    for edition in range(2, kills + 2):
        victim = worker(trial)
        child_of(victim)  # before that a kill would miss it
        until(lambda: trial.count("dramatiq.queue where state = 'consumed'"), "it is at work", LONGEST_SECONDS)
        time.sleep(dice.uniform(0, 1.0))  # the moment, not a wait
        trial.kill(victim)
        whole(trial)
        first = dice.randrange(ARTICLES)
        changed = range(first, min(ARTICLES, first + 3))
        publish(trial, edition, changed)
        editions |= dict.fromkeys(changed, edition)
    worker(trial)
    # A message that was there when three workers were killed is a dead letter: what it had is another's when the lease
    # is over, and the tick sends the message. Both are minutes away.
    trial.ask("update article_index set next_try_at = now() - interval '3 minutes' where state = 'pending'")
    trial.ask("select send_overdue_indexing('2 minutes')")
    until(lambda: indexed(trial), "everything is indexed", LONGEST_SECONDS)
    right(trial, editions)
    assert trial.count("pgbroker.dead_letters where reason <> 'killed its worker'") == 0
