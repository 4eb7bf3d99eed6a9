"""Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020)."""
