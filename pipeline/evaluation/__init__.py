"""Figures over whole runs, from stored columns alone."""
