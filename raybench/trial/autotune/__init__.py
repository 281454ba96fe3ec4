"""What a spec leaves open, resolved by trying."""
