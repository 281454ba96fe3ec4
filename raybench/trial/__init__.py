"""One timed trial, plain PyTorch."""
