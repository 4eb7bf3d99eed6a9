"""Parts of an experiment held to what they declare."""
