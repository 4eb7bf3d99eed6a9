"""Uses of a trained model: each a class, whose arguments are the root keys of its command."""
