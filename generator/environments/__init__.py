"""An environment for each stage: what its script imports, and nothing else."""
