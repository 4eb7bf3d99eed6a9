"""What makes a run the same run, and what it leaves on disk."""
