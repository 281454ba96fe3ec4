"""What a spec leaves open, decided by trying."""
