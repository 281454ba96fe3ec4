#!/usr/bin/env bash
# What srun runs on each node of the job: its environment by its GPUs' label, then Ray.

# The batch script sees this file, and shows the end of this node's log.
trap 'touch "$RAYBENCH_STATE/failed-$SLURMD_NODENAME"' EXIT

# The batch script has decided where results go, perhaps otherwise than site.env.
results=$RAYBENCH_RESULTS
source "$RAYBENCH_HOME/common.sh"
export RAYBENCH_RESULTS=$results
activate || exit
resources=$(python -m raybench.slurm.node resources) || exit
activate "$(sed -n 's/.*"label": "\([^"]*\)".*/\1/p' <<<"$resources")" || exit
# In place of this shell, so that Slurm's signals reach it.
exec python -m raybench.slurm.node start "$resources"
