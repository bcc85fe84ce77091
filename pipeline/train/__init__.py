"""Training on Ray Train: one loop, and for each stage one small file that says what a step and a loss are."""
