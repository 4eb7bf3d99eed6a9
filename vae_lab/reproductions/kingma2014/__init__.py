"""Auto-Encoding Variational Bayes (Kingma & Welling, 2014)."""
