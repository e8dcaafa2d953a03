"""Dramatiq middleware that knows this broker."""

from pgbroker.middleware.queue_options import QueueOptions
from pgbroker.middleware.retries import Retries
from pgbroker.middleware.tenants import Tenants
from pgbroker.middleware.ticks import Ticks

__all__ = ["QueueOptions", "Retries", "Tenants", "Ticks"]
