"""Builds data sets from what others published, in its own layout: Flower-102, CUB-200-2011, COCO.

`published` finds the files or fetches them, `contents` reads archives and what is unpacked from them alike,
and one module for each set says which image has which captions, split and box; `captioned_images` does the
rest.
"""
