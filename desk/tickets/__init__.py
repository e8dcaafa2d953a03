"""Tickets and the jobs that read them: triage, suggested articles, drafts, sentiment, the risk of a breach.

Rules are pure functions over text, vectors and labels; `store.py` and `sql/` are the only ones that know tables.
"""
