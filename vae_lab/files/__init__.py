"""Files: written in full or not at all, known by their content, and by who owns them."""
