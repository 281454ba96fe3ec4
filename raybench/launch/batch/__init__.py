"""A Ray cluster over the nodes of a batch job, whatever the scheduler; a scheduler builds on it."""
