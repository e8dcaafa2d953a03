"""SLA clocks: calendars, policies, what a ticket has used of its targets, and who is told.

The arithmetic and the replay of a clock are pure (`calendar`, `replay`, `story`); the same rules stand in the database
as triggers (migrations 0003, 0010 to 0015), so that clocks follow a ticket whoever writes it. The sweep tells what was
crossed.
"""

from desk.sla.calendar import Calendar
from desk.sla.replay import Replay, replay
from desk.sla.sweep import Sweep, sweep

__all__ = ["Calendar", "Replay", "Sweep", "replay", "sweep"]
