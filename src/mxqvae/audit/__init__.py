"""Audit: which pairs of a data set do not fit together, which words of them, and what would."""
