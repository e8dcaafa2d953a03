"""The ticket jobs: a burst of tickets, one ticket, learning triage anew."""
