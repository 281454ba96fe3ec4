"""What can be measured: models, datasets, hardware. Newcomers add their rows here."""
