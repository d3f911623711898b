"""Transforms between two images: in memory, inverted, applied to images, label maps and points, and on disk."""
