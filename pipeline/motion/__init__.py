"""Human motion as joint positions: skeleton, what a network sees of it, its beats, features, pictures and file formats."""
