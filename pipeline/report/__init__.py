"""The page that a person looks at, made from the objects of a run alone."""
