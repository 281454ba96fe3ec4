"""Trials here, or on Ray."""
