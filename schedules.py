"""The timetable: which actor fires when. `periodiq brokers schedules` reads it; any number of schedulers may run.

Five fields of cron(5) in UTC: minute, hour, day of month, month, day of week. Each (actor, minute) is one slot and is
sent once, however many schedulers run or restart (`pgbroker.slots`). While no worker runs, one message of each waits:
every actor here catches up with all that there is to do, so a second one would find nothing.
"""

from dramatiq import Actor
from periodiq import cron

from actors.kb import reconcile_kb, resume_indexing
from actors.sla import extend_calendars, recount_clocks, sweep_slas
from actors.tickets import predict_open_slas, retrain_triage
from actors.upkeep import clean_up, snapshot_metrics

TIMETABLE: dict[Actor, str] = {
    sweep_slas: "* * * * *",  # clocks that crossed a threshold, told within the minute
    predict_open_slas: "*/15 * * * *",  # what may breach, now that time has passed
    resume_indexing: "*/5 * * * *",  # articles that are due and whose message was lost
    reconcile_kb: "20 * * * *",  # articles, chunks and vectors compared, repaired, counted
    retrain_triage: "40 * * * *",  # enough new labels whose message was lost
    snapshot_metrics: "5 * * * *",  # the hour's figures, once what was under way at its end is committed
    extend_calendars: "30 2 * * *",  # open periods two years ahead, before they run out
    recount_clocks: "45 2 * * *",  # the summary's figures, should triggers have been off
    clean_up: "15 3 * * *",  # retention, in the quiet hours
}

for actor, spec in TIMETABLE.items():
    actor.options |= {"periodic": cron(spec), "pile_up": False}
