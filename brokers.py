"""Which broker, which middleware, in which order and why.

Started as `dramatiq brokers actors schedules` and `periodiq brokers schedules`; whoever sends imports it as well.
"""
