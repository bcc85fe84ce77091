"""Networks: fusion of conditions, the denoisers of each task, and how checkpoints are kept."""
