"""The verbs of `atum`, one module per noun. Each parses, calls the desk, shows."""
