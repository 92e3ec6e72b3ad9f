"""Search agents, one file per algorithm."""
