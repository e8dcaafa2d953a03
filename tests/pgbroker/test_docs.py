"""What docs/broker.md and the README say about the broker alone is run as it stands, on an empty database."""

import re
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import psycopg2
import pytest
from builders import admin
from workers import work_off

from desk.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_url(server: EmbeddedServer) -> Iterator[str]:
    with admin(server) as cursor:
        cursor.execute("create database docs")
    yield server.url(database="docs")
    with admin(server) as cursor:
        cursor.execute("drop database docs with (force)")


@pytest.fixture(autouse=True)
def same_broker_afterwards():
    before = dramatiq.broker.global_broker  # get_broker() makes one for RabbitMQ where there is none
    yield
    dramatiq.broker.global_broker = before


def examples(path):
    return re.findall(r"```python\n(.*?)```", (ROOT / path).read_text("utf-8"), re.DOTALL)


def test_the_example_of_the_page_sends_and_runs(empty_url):
    (example,) = examples("docs/broker.md")
    names = {}
    exec(example.replace('url = "postgresql://localhost/shop"', f"url = {empty_url!r}"), names)
    work_off(names["broker"])
    with psycopg2.connect(empty_url) as connection, connection.cursor() as cursor:
        cursor.execute("select actor_name, message -> 'args' from pgbroker.finished")
        assert cursor.fetchall() == [("ship", [42])]


def test_the_example_of_the_readme_makes_a_broker(empty_url):
    _, example = examples("README.md")
    names = {"url": empty_url, "psycopg2": psycopg2, "dramatiq": dramatiq}
    exec(example, names)
    assert dramatiq.get_broker() is names["broker"]
    names["broker"].close()
