"""The knowledge base: articles become chunks, chunks become embeddings, a question finds the articles that answer it.

The model (`model`, `embedding`) · what a person writes (`articles`) · what a worker makes of it (`chunking`,
`indexing`) · what a reader gets (`search`) · how it stands (`status`).
"""

from desk.kb.searching import Hit, search

__all__ = ["Hit", "search"]
