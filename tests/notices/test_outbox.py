"""What leaves is in the hand of one message at a time, and only that one may say how it went."""

from uuid import UUID, uuid4

import pytest
from notice_parts import KIM

from desk import database
from desk.errors import NotFound
from desk.notices import gathering, outbox
from desk.sla.notifications import deliver

FIRST, SECOND = uuid4(), uuid4()


@pytest.fixture
def mail_id(want, notify, organization: UUID) -> UUID:
    """A mail that was gathered, and that nobody has in hand."""
    want(mail={}, agents=KIM)
    notice = notify()
    with database.transaction(organization) as connection:
        assert deliver(connection, notice).ways == 1
    with database.transaction(organization) as connection:
        found = gathering.gather(connection, organization, "kim@acme.example", "kim")
    assert (found.told, found.dropped, found.later) == (1, 0, None)
    return found.mail_id


@pytest.fixture
def take(mail_id: UUID, organization: UUID):
    def take(by: UUID) -> bool:
        with database.transaction(organization) as connection:
            return outbox.take_mail(connection, organization, mail_id, by) is not None

    return take


@pytest.fixture
def end(mail_id: UUID, organization: UUID):
    def end(by: UUID, state: str, error: str | None = None) -> bool:
        with database.transaction(organization) as connection:
            return outbox.end(connection, mail_id, by, state, error)

    return end


def test_one_message_has_it_and_when_its_worker_died_the_same_takes_it_again(take, end):
    assert take(FIRST)
    assert not take(SECOND)
    assert take(FIRST)
    assert end(FIRST, "sent")
    assert not take(FIRST)
    assert not take(SECOND)


def test_after_a_failure_or_a_long_silence_another_may_have_it(take, end, ask):
    assert take(FIRST)
    assert end(FIRST, "waiting", "away")
    assert take(SECOND)
    ask("update dispatches set claimed_until = now() - interval '1 s'")
    assert take(FIRST)
    assert ask("select attempts, claimed_until > now() + interval '200 s' from dispatches") == [(3, True)]


def test_who_lost_it_changes_nothing_any_more(take, end, ask):
    assert take(FIRST)
    ask("update dispatches set claimed_until = now() - interval '1 s'")
    assert take(SECOND)
    assert not end(FIRST, "dead", "too late to say")
    assert ask("select state, error from dispatches") == [("waiting", None)]
    assert end(SECOND, "sent")
    assert not end(SECOND, "dead")
    assert ask("select state from dispatches") == ["sent"]


def test_what_is_dead_comes_back_with_its_own_message_alone(take, end, ask):
    assert take(FIRST)
    assert end(FIRST, "dead", "550 no such user")
    assert not take(SECOND)
    assert take(FIRST)
    assert ask("select state, ended_at from dispatches") == [("waiting", None)]


def test_what_is_gathered_once_is_not_gathered_again(mail_id, organization):
    with database.transaction(organization) as connection:
        assert gathering.gather(connection, organization, "kim@acme.example", "kim") == gathering.Gathered()


@pytest.mark.parametrize("key", [str(uuid4()), "x"], ids=["unknown", "no id"])
def test_what_is_not_there_cannot_be_taken(organization, key):
    with pytest.raises(NotFound), database.transaction(organization) as connection:
        outbox.take_post(connection, organization, key, FIRST)
