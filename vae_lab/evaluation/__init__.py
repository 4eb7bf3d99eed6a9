"""How good a trained model is, in nats per datum."""
