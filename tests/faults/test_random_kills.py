"""A thousand kills at random moments: `make soak`. The seed is printed; the moments are the machine's own."""

import os
import random
import time

import pytest
from faults.trial import Trial
from waiting import until

KILLS = int(os.environ.get("SOAK_KILLS", "1000"))
WORKERS = 3
BACKLOG = 60
ACTORS = ("once", "once", "plain", "flaky", "sends", "fails", "limited", "answers")
UNLUCKY = "killed its worker"


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_thousand_kills_at_random_moments_lose_nothing(short_trial):
    trial = short_trial
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**9)))
    print("seed", seed)
    dice = random.Random(seed)
    workers = [trial.worker(3) for _ in range(WORKERS)]
    senders = 0
    for kills in range(1, KILLS + 1):
        while trial.left() < BACKLOG:
            actor = dice.choice(ACTORS)
            trial.send(actor, *([dice.choice((0.0, 0.01, 0.2))] if actor in ("once", "plain") else []))
        if dice.random() < 0.2:
            killed_while_it_sends(trial, dice)
            senders += 1
        else:
            time.sleep(dice.uniform(0, 0.6))  # the moment, not a wait
            place = dice.randrange(WORKERS)
            trial.kill(workers[place])
            workers[place] = trial.worker(3)
        if kills % 50 == 0:
            print(kills, "kills,", len(trial.sent), "sent,", trial.count("pgbroker.finished"), "finished", flush=True)
    until(lambda: trial.left() == 0, "nothing is left", timeout_seconds=120)
    died_beside = unlucky(trial)
    print(
        f"{KILLS} kills, {senders} of them senders; {len(trial.sent)} messages sent, "
        f"{trial.count('pgbroker.finished')} finished, {trial.total('rescued'):g} rescued, "
        f"{len(died_beside)} dead because three of their workers were killed"
    )
    trial.sent |= dict.fromkeys(died_beside, UNLUCKY)
    trial.verdict(doomed=("fails", UNLUCKY))


def killed_while_it_sends(trial: Trial, dice: random.Random) -> None:
    """A sender dies somewhere on its way; what it said was sent must be there."""
    sender = trial.start("python", "sender.py", "send_copy")
    time.sleep(dice.uniform(0, 0.5))  # the moment, not a wait
    trial.kill(sender)
    for line in sender.log.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "promised":
            trial.sent[words[1]] = words[2]


def unlucky(trial: Trial) -> list[str]:
    """Messages that were there when three workers were killed: dead letters, as documented; each tells of all three."""
    found = trial.ask(
        """select message_id::text,
                  (select count(*) from jsonb_array_elements(history) h where h ->> 'event' = 'rescued')
             from pgbroker.dead_letters where reason = %s""",
        (UNLUCKY,),
    )
    assert all(rescues == 3 for _, rescues in found), found
    return [message_id for message_id, _ in found]
