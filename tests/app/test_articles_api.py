"""PUT and DELETE of articles, and the search for them, which a worker makes possible in between."""

from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from builders import new_organization
from fastapi.testclient import TestClient

from desk.kb import indexing

ARTICLE = {"title": "Blinking lights", "body_md": "# Red light\n\nThe hub blinks red when it has lost its network."}
ID = "help/lights & sounds/red.md"
URL = "/api/v1/articles/" + quote(ID)


def test_an_article_is_put_changed_and_deleted_under_an_id_with_slashes(client: TestClient, organization: UUID, owner):
    first = client.put(URL, params={"org": "Acme"}, json=ARTICLE)
    assert first.status_code == 200
    assert first.json()["external_id"] == ID
    second = client.put(URL, params={"org": "Acme"}, json={**ARTICLE, "title": "Lights", "lang": "pt-BR"})
    assert second.json()["id"] == first.json()["id"]
    with owner.cursor() as cursor:
        cursor.execute("select external_id, title, language, revision from articles")
        assert cursor.fetchall() == [(ID, "Lights", "pt-BR", 2)]
        cursor.execute("select actor_name from dramatiq.queue")
        assert cursor.fetchall() == [("index_articles",)]
    assert client.delete(URL, params={"org": "Acme"}).status_code == 204
    gone = client.delete(URL, params={"org": "Acme"})
    assert gone.status_code == 404
    assert ID in gone.json()["detail"]


@pytest.mark.parametrize(
    ("url", "change", "status", "line"),
    [
        (URL + "?org=Nobody", {}, 404, "'Nobody'"),
        (URL, {}, 422, "query.org:"),
        (URL + "?org=Acme", {"title": None}, 422, "body.title:"),
        (URL + "?org=Acme", {"body_md": "x\x00"}, 422, "body.body_md: holds a NUL character at position 1"),
        (URL + "?org=Acme", {"status": "secret"}, 422, "body.status:"),
        (URL + "?org=Acme", {"visibility": "everybody"}, 422, "body.visibility:"),
        (URL + "?org=Acme", {"lang": "not a tag"}, 422, "language"),
        (URL + "?org=Acme", {"body_md": "x" * 2_000_001}, 422, "body_md has 2,000,001 bytes"),
        ("/api/v1/articles/a%00b?org=Acme", {}, 422, "path.external_id: holds a NUL character"),
        ("/api/v1/articles/" + "x" * 501 + "?org=Acme", {}, 422, "external_id"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(
    client: TestClient, organization: UUID, owner, url: str, change: dict, status: int, line: str
):
    answer = client.put(url, json={**ARTICLE, **change})
    assert answer.status_code == status
    assert line in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    with owner.cursor() as cursor:
        cursor.execute("select count(*) from articles")
        assert cursor.fetchone() == (0,)


def test_a_10_mb_article_is_refused(client: TestClient, organization: UUID):
    answer = client.put(URL, params={"org": "Acme"}, json={**ARTICLE, "body_md": "x" * 10_000_000})
    assert (answer.status_code, answer.json()) == (413, {"detail": "The body is larger than 4 MB."})


def test_search_finds_the_own_public_articles_and_no_others(
    client: TestClient, organization: UUID, owner, model_dir: Path
):
    new_organization(owner, "Other")
    for org, url, article in (
        ("Acme", URL, ARTICLE),
        ("Acme", "/api/v1/articles/internal", {**ARTICLE, "visibility": "internal"}),
        ("Other", "/api/v1/articles/theirs", ARTICLE),
    ):
        assert client.put(url, params={"org": org}, json=article).status_code == 200
    indexing.index(organization)
    answer = client.get("/api/v1/search", params={"org": "Acme", "q": "why does my hub blink red?", "top": 20})
    assert answer.status_code == 200
    hits = answer.json()["hits"]
    assert [hit["external_id"] for hit in hits] == [ID]
    assert hits[0]["title"] == "Blinking lights"
    assert "red" in hits[0]["passage"]
    assert 0 < hits[0]["similarity"] <= 1
    nothing = client.get("/api/v1/search", params={"org": "Acme", "q": "opening hours of the city museum"})
    assert nothing.json()["hits"] == []


def test_a_search_takes_language_category_and_visibility(client: TestClient, organization: UUID, model_dir: Path):
    kinds: dict[str, dict] = {
        "plain": {},
        "internal": {"visibility": "internal"},
        "spanish": {"lang": "es"},
        "lights": {"category": "lights"},
        "draft": {"status": "draft"},
    }
    for name, change in kinds.items():
        answer = client.put(f"/api/v1/articles/{name}", params={"org": "Acme"}, json={**ARTICLE, **change})
        assert answer.status_code == 200
    indexing.index(organization)

    def found(**params: str) -> set[str]:
        answer = client.get("/api/v1/search", params={"org": "Acme", "q": "hub blinks red", "top": "20", **params})
        assert answer.status_code == 200, answer.text
        return {hit["external_id"] for hit in answer.json()["hits"]}

    assert found() == {"plain", "spanish", "lights"}
    assert found(visibility="internal") == {"internal"}
    assert found(visibility="all") == {"plain", "internal", "spanish", "lights"}
    assert found(language="es") == {"spanish"}
    assert found(category="lights") == {"lights"}
    assert found(category="lights", language="es") == set()


@pytest.mark.parametrize(
    ("params", "status", "line"),
    [
        ({"org": "Acme"}, 422, "query.q:"),
        ({"org": "Acme", "q": " \n"}, 422, "query.q:"),
        ({"org": "Acme", "q": "x", "visibility": "secret"}, 422, "query.visibility:"),
        ({"org": "Acme", "q": "x", "language": ""}, 422, "query.language:"),
        ({"org": "Acme", "q": "x", "category": "a\x00"}, 422, "query.category: holds a NUL character"),
        ({"org": "Acme", "q": "x", "top": "21"}, 422, "query.top:"),
        ({"org": "Acme", "q": ""}, 422, "query.q:"),
        ({"org": "Acme", "q": "\x00"}, 422, "query.q: holds a NUL character"),
        ({"org": "Acme", "q": "x" * 1001}, 422, "query.q:"),
        ({"org": "Acme", "q": "x", "top": "0"}, 422, "query.top:"),
        ({"org": "Acme", "q": "x", "top": "many"}, 422, "query.top:"),
        ({"q": "x"}, 422, "query.org:"),
        ({"org": "Nobody", "q": "x"}, 404, "'Nobody'"),
    ],
)
def test_a_search_that_cannot_be_done_says_why(
    client: TestClient, organization: UUID, params: dict[str, str], status: int, line: str
):
    answer = client.get("/api/v1/search", params=params)
    assert answer.status_code == status
    assert line in answer.json()["detail"]
