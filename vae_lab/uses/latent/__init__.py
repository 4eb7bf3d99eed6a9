"""The latent space of a trained model, as `Explore` shows it."""
