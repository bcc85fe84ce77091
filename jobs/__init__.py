"""Entry points: each composes its settings from conf/ and calls one function of the pipeline."""
