"""Data sets of music, text and dance: motion capture in the formats it is published in, as one table of paired rows."""
