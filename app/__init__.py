"""How people reach the desk: the HTTP API and its pages, and the `atum` command."""
