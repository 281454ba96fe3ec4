"""What is known of one trial."""
