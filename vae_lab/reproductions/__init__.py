"""Published numbers and figures, and ours beside them."""
