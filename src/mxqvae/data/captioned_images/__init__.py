"""Builds a data set from captioned images in any of the layouts that people keep them in.

`detection` finds out which layout a path has, one module for each layout reads it, `reading` makes every
image a square of one size on all cores, and `build` splits, merges and writes.
"""
