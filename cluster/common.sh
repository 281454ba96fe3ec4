# Sourced by the batch scripts and by node.sh; RAYBENCH_HOME is the folder that they lie in.

# trusted FILE: whether nobody but this user and root may write a file that is sourced here.
trusted() {
  local owner mode
  read -r owner mode < <(stat -L -c '%u %a' "$1")
  [[ $owner == "$UID" || $owner == 0 ]] && (((8#$mode & 8#022) == 0)) && return
  echo "raybench: $1 is not sourced: others may write it (owner $(stat -L -c %U "$1"), mode $mode)" >&2
  echo "hint:     chmod go-w $1, and see that it is your own or root's" >&2
  return 2
}

RAYBENCH_SITE=${RAYBENCH_SITE:-$RAYBENCH_HOME/site.env}
if [ -r "$RAYBENCH_SITE" ]; then
  trusted "$RAYBENCH_SITE" || exit
  set -a
  # shellcheck disable=SC1090
  source "$RAYBENCH_SITE"
  set +a
fi

# activate [LABEL]: activate the environment for a GPU label, or without one the general one.
# The first that there is: RAYBENCH_ENVIRONMENT_<LABEL>, RAYBENCH_ENVIRONMENT, what is active.
# Each names the folder of a virtual environment, or a file to source.
activate() {
  local name=RAYBENCH_ENVIRONMENT_${1^^} environment
  environment=${1:+${!name:-}}
  environment=${environment:-${RAYBENCH_ENVIRONMENT:-}}
  [ -n "$environment" ] || return 0
  [ -d "$environment" ] && environment=$environment/bin/activate
  if [ ! -r "$environment" ]; then
    echo "raybench: no environment at $environment, which $RAYBENCH_SITE names" >&2
    echo "hint:     $RAYBENCH_HOME/environments/create.sh builds one; see docs/slurm.md" >&2
    return 2
  fi
  trusted "$environment" || return
  # shellcheck disable=SC1090
  source "$environment"
}
