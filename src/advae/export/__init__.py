"""A model as a file for other programs: the whole way from a user's columns to the score."""
