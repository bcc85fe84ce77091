"""How the sample, training and evaluation sets are made."""
