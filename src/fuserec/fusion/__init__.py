"""Fusion: the vectors of several columns → one."""
