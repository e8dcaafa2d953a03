"""What a change of an article sets in motion, and what it does not."""

import pytest

from desk import database
from desk.errors import InvalidInput, NotFound
from desk.kb import articles


def test_a_change_marks_the_article_and_sends_one_message_of_its_organization(kb):
    kb.put("a", "Title", "Text.")
    assert kb.state("a") == ("pending", 0, 1, None)
    assert kb.messages() == [("kb", [str(kb.organization)], f"index_articles:{kb.organization}")]


def test_changes_of_one_organization_share_a_message_and_those_of_another_have_their_own(kb, other_kb):
    with database.transaction(kb.organization) as connection:
        for number in range(20):
            articles.put(connection, kb.organization, external_id=f"a{number}", title="T", body_md="B")
    kb.put("a3", "T", "Changed.")
    other_kb.put("a", "T", "B")
    assert [args for _, args, _ in kb.messages()] == [[str(kb.organization)], [str(other_kb.organization)]]


def test_a_change_that_is_rolled_back_leaves_no_mark_and_no_message(kb):
    def put_and_fail() -> None:
        with database.transaction(kb.organization) as connection:
            articles.put(connection, kb.organization, external_id="a", title="T", body_md="B")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        put_and_fail()
    assert kb.rows("select count(*) from article_index") == [(0,)]
    assert kb.messages() == []


def test_an_article_that_says_the_same_as_before_is_not_touched(kb):
    first = kb.put("a", "Title", "Text.")
    kb.index()
    kb.rows("delete from dramatiq.queue")
    assert kb.put("a", "Title", "Text.") == first
    assert kb.rows("select revision, updated_at = created_at from articles") == [(1, True)]
    assert kb.state("a")[0] == "ok"
    assert kb.messages() == []


@pytest.mark.parametrize(
    "change",
    [
        {"title": "New"}, {"body_md": "New."}, {"language": "de"}, {"visibility": "internal"}, {"status": "draft"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_change_of_what_search_depends_on_raises_the_revision(kb, change):
    kb.put("a", "Title", "Text.")
    kb.index()
    kb.rows("delete from dramatiq.queue")
    with database.transaction(kb.organization) as connection:
        given = {"external_id": "a", "title": "Title", "body_md": "Text."} | change
        articles.put(connection, kb.organization, **given)
    assert kb.state("a") == ("pending", 0, 2, 1)
    assert len(kb.messages()) == 1


def test_a_change_of_the_category_alone_needs_no_indexing_and_counts_at_once(kb):
    kb.put("a", "Parking", "Where to leave your car.")
    kb.index()
    kb.put("a", "Parking", "Where to leave your car.", category="cars")
    assert kb.state("a") == ("ok", 0, 1, 1)
    assert kb.found("parking a car", category="cars") == ["a"]
    assert kb.found("parking a car", category="boats") == []


def test_a_change_by_plain_sql_counts_like_any_other(kb):
    kb.put("a", "Title", "Text.")
    kb.index()
    kb.rows("update articles set body_md = 'By hand.' where external_id = 'a'")
    assert kb.state("a") == ("pending", 0, 2, 1)


def test_a_deleted_article_comes_back_under_its_old_id(kb):
    first = kb.put("a", "Title", "Text.")
    kb.delete("a")
    with pytest.raises(NotFound, match="no article 'a'"):
        kb.delete("a")
    assert kb.put("a", "Title", "Text.") == first
    assert kb.state("a") == ("pending", 0, 3, None)


def test_an_article_of_another_organization_cannot_be_deleted_or_changed(kb, other_kb):
    kb.put("a", "Title", "Text.")
    with pytest.raises(NotFound):
        other_kb.delete("a")
    other_kb.put("a", "Theirs", "Text.")
    assert kb.rows("select title from articles where organization_id = %s", kb.organization) == [("Title",)]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("title", "", "title is empty"),
        ("title", "x" * 501, "title has 501 characters, 500 are allowed"),
        ("title", "a\x00b", "title holds a NUL character"),
        ("external_id", " ", "external_id is empty"),
        ("body_md", "x" * 2_000_001, "body_md has 2,000,001 bytes, 2,000,000 are allowed"),
        ("body_md", "a\x00b", "body_md holds a NUL character"),
        ("body_md", "a\ud800b", "body_md holds half a surrogate pair"),
        ("body_md", 7, "body_md must be text, not int"),
        ("language", "English please", "language 'English please' is no language tag"),
        ("language", "é", "language 'é' is no language tag"),
        ("visibility", "secret", "visibility is 'secret', but must be one of public, internal"),
        ("status", "gone", "status is 'gone', but must be one of draft, published, archived"),
        ("category", "", "category is empty"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(kb, field, value, says):
    given = {"external_id": "a", "title": "T", "body_md": "B"} | {field: value}
    with pytest.raises(InvalidInput, match=says):
        kb.put(given.pop("external_id"), given.pop("title"), given.pop("body_md"), **given)
    assert kb.rows("select count(*) from articles") == [(0,)]
