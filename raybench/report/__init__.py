"""Figures made readable."""
