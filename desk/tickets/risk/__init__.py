"""How likely a breach is: of one ticket, of all that run, and of any table with an outcome."""
