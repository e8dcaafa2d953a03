"""The desk's own actors for the processes of these tests; imported by `dramatiq desk_jobs`."""

import os

from faults import points

if "POINTS_SEEN" in os.environ:
    points.install()

import actors
from brokers import broker

__all__ = ["actors", "broker"]
