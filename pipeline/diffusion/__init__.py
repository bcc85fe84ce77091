"""Guidance as weighted branches, one sampling loop, and the adapter of networks to one signature."""
