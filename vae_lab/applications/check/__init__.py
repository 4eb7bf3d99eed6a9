"""Parts of an experiment, judged by what they declare."""
