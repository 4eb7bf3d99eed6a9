"""One thin module per command of the command line; torch is imported inside the task only."""
