"""What to measure: a trial, and a grid of trials."""
