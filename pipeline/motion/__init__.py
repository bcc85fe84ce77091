"""Human motion as joint positions: its skeleton, what a network sees of it, beats, features, pictures, file formats."""
