"""What the SLA engine costs at a million open tickets: `python -m bench.sla`."""
