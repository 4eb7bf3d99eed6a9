"""A sweep: its axes, jobs and table, and the launchers that start the jobs."""
