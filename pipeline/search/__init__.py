"""Retrieval over finished runs, by the embeddings that stand in their objects."""
