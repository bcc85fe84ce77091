"""Families of published checkpoints behind the one signature (sampler.Denoiser), in the layouts of diffusers.

A family is one file here, and one in conf/family that names its classes. What all share is in latent.py, what sketches
do to their networks in adapters.py.
"""
