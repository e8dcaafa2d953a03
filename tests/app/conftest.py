"""The API in this process, on a database of the test's own."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.web.application import build


@pytest.fixture
def client(database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Calls the API from this machine, through its lifespan; an error inside is an answer, as it is for a caller."""
    with TestClient(
        build(), base_url="http://localhost", client=("127.0.0.1", 50000), raise_server_exceptions=False
    ) as client:
        yield client
