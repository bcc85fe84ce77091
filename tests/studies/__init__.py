"""Experiments behind docs/training.md: python -m tests.studies FOLDER ITEM …  (ITEM: a module of this folder).

Each item trains its variants with SEEDS on the OpenMoji pairs and measures them on held-out ones, all by the project's
own jobs. FOLDER/<item>/ keeps what they make: the same command goes on where it was interrupted, or with another seed.
python -m tests.studies.tables FOLDER puts what is there into docs/training.json and docs/training.md.
"""
