# The body of the three batch scripts: `source …/batch.sh start|join "$@"`, inside a Slurm job.

source "$RAYBENCH_HOME/common.sh"
activate || exit
# In place of this shell, so that Slurm's signals reach it.
exec python -m raybench.slurm.job "$@"
