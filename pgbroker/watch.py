"""When an idle process looks: idle processes take turns.

One look a second finds whatever comes in without a ring, however many processes are idle; the one that finds more than
it can take rings for the others. So the cost of being idle does not grow with the number of processes.

Turns are stretches of the database's clock. Everybody counts the same processes in the same order, so that nobody has
to tell anybody whose turn it is. A process that serves more queues than another looks for that one as well; those that
look for it again look for both, so that somebody looks in every turn.
"""

TURN_SECONDS = 0.95  # whatever comes is found within a second
_EARLY = 0.05  # of a turn
MOST_WATCHERS = 5  # of more, several look in the same turn: a beat each few seconds it must be


def most_watchers(lease_seconds: float) -> int:
    """After how many turns a process with such a lease has to be back; below 2 there are no turns to take."""
    return min(MOST_WATCHERS, int(lease_seconds / 3 / TURN_SECONDS))


def next_turn(now_seconds: float, place: int, watchers: int) -> float:
    """Seconds from `now_seconds` (since the epoch, by the database's clock) to the next turn of the process at `place`,
    counted from 0, of so many `watchers`. One that has just begun is over, and one that is about to begin as well: a
    timer may end early."""
    turn = int(now_seconds / TURN_SECONDS + _EARLY) + 1
    turn += (place - turn) % watchers
    return turn * TURN_SECONDS - now_seconds
