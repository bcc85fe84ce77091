"""Measured ratios: the pipeline beside loops written by hand and beside other engines (docs/benchmarks.md)."""
