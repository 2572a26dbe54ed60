"""Pairs of images and captions: how they are built, stored, read and turned into batches."""
