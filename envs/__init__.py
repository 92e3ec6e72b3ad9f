"""Gymnasium environments, one file per family."""
