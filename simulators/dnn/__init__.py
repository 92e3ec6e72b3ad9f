"""Analytical models of DNN accelerators: loop nests on a storage hierarchy, and systolic arrays."""
