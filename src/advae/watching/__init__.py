"""Scoring what is new, again and again: each alarm once, and drift said when it is no chance."""
