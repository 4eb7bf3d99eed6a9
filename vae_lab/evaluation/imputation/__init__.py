"""What is missing, drawn from p(x_miss|x_obs), and how well."""
