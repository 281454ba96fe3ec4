"""Measuring: clocks, the device as it was, and where a trial ran."""
