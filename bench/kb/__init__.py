"""Measures the knowledge base with the real model: `python -m bench.kb`."""
