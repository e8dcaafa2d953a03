"""Dramatiq's messages in Postgres."""
