"""Clean processes of their own."""
