"""Where and when each trial runs."""
