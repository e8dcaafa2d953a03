"""What a process counts about its own work. The beat writes it into pgbroker.processes, where metrics read it."""

from collections import Counter

# Upper bounds of the histograms, in seconds.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Counters(Counter[str]):
    """Names and how often. Each name has one writer at a time, so that no lock is needed."""

    def observe(self, name: str, seconds: float) -> None:
        """Add a duration to the histogram `name`: its count, its sum, and every bucket that it falls under."""
        self[f"{name}_seconds_count"] += 1
        self[f"{name}_seconds_sum"] += seconds  # type: ignore[assignment]  # the one name that is no whole number
        for bound in BOUNDS_SECONDS:
            if seconds <= bound:
                self[f"{name}_seconds_le_{bound:g}"] += 1
