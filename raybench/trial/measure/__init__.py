"""What is measured beside the epochs."""
