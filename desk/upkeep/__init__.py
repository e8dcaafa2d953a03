"""What keeps the desk in order by itself: figures once an hour, and the end of what has been kept long enough."""
