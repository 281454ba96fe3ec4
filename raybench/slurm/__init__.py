"""Ray inside a Slurm job."""
