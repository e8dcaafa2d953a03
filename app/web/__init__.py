"""The HTTP API: one module per subject. Endpoints parse, call the desk inside a transaction, and answer.

Its package is not called `api`, because `app.api` is what `uvicorn app:api` serves.
"""
