"""The help desk: tickets, SLA clocks and the knowledge base, over Postgres.

Knows nothing of Dramatiq, of the broker or of the app. What it wants done later it sends in SQL
(`pgbroker.enqueue`), in the transaction that made the work necessary.
"""
