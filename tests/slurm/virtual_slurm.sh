#!/usr/bin/env bash
# A real Slurm cluster of several "hosts" on one Linux machine, for end-to-end tests.
# Each host is a set of namespaces of its own (network with its own address, PID, UTS, mount with a
# private /tmp), so Slurm and Ray see separate machines: port numbers, process scans and temporary
# files do not cross hosts, and a host can be killed or cut off like a real one. All else is one
# file system that they share, and so is what VIRTUAL_SLURM_SHARED names below /tmp (paths, by ":").
# The GPUs are GRES entries on dummy device files: Slurm schedules them and sets
# CUDA_VISIBLE_DEVICES, but nothing computes on them.
# Needs root and Debian's slurm-wlm, munge, tini, iproute2, util-linux.
#
#   virtual_slurm.sh up p100:4:2 k80:8:1   # TYPE:GPUS_PER_HOST:HOSTS ...
#   virtual_slurm.sh kill p100-1           # power off a host (SIGKILL to everything on it)
#   virtual_slurm.sh start p100-1          # power it on again, with an empty /tmp
#   virtual_slurm.sh cut p100-1            # pull its network cable;  `heal` puts it back
#   virtual_slurm.sh on p100-1 COMMAND     # run a command there, as if logged in
#   virtual_slurm.sh down
set -euo pipefail
STATE=${VIRTUAL_SLURM_STATE:-/run/virtual-slurm}
# Not in /etc/slurm, which may be a real cluster's; clients need the same variable.
export SLURM_CONF=$STATE/etc/slurm.conf
NET=10.77.0
BRIDGE=vslurm0
CPUS=8  # for Slurm's accounts only: the hosts share the machine's processors

start_host() {  # name
  local name=$1
  nsenter --net="/run/netns/$name" unshare --uts --mount --pid --fork --kill-child --mount-proc \
    bash -c 'set -e
             hostname '"$name"'
             mount --bind /tmp '"$STATE/$name"'/all-tmp
             mount --bind '"$STATE/$name"'/tmp /tmp
             IFS=: read -ra shared <<<"${VIRTUAL_SLURM_SHARED:-}"
             for path in "${shared[@]}"; do
               mkdir -p "$path" && mount --bind '"$STATE/$name"'/all-tmp/"${path#/tmp/}" "$path"
             done
             umount '"$STATE/$name"'/all-tmp
             exec tini -s -g -- slurmd -D -N '"$name" \
    </dev/null >"$STATE/log/$name.out" 2>&1 &
  echo $! >"$STATE/$name.pid"
}

on_host() {  # name command...
  local name=$1 init
  shift
  init=$(pgrep -P "$(cat "$STATE/$name.pid")" -x tini)
  nsenter --target "$init" --net --uts --mount --pid -- "$@"
}

up() {
  mkdir -p "$STATE"/{log,state,spool,etc} /run/munge
  ip link add $BRIDGE type bridge && ip addr add $NET.1/24 dev $BRIDGE && ip link set $BRIDGE up
  local nodes="" gres="" names=() address=10 spec type gpus hosts
  for spec in "$@"; do
    IFS=: read -r type gpus hosts <<<"$spec"
    for ((h = 1; h <= hosts; h++)); do
      local name=$type-$h files=()
      address=$((address + 1))
      for ((g = 0; g < gpus; g++)); do
        local dev=/dev/vslurm-$name-$g
        [ -e "$dev" ] || mknod "$dev" c 1 3
        files+=("$dev")
      done
      ip netns add "$name"
      ip link add "vs$address" type veth peer name eth0 netns "$name"
      ip link set "vs$address" master $BRIDGE up
      ip -n "$name" addr add $NET.$address/24 dev eth0
      ip -n "$name" link set eth0 up
      ip -n "$name" link set lo up
      mkdir -p "$STATE/spool/$name" "$STATE/$name"/{tmp,all-tmp}
      chmod 1777 "$STATE/$name/tmp"
      nodes+="NodeName=$name NodeAddr=$NET.$address CPUs=$CPUS RealMemory=4000 Gres=gpu:$type:$gpus Feature=$type"$'\n'
      for dev in "${files[@]}"; do gres+="NodeName=$name Name=gpu Type=$type File=$dev"$'\n'; done
      names+=("$name:$address")
    done
  done
  cat >"$SLURM_CONF" <<C
ClusterName=virtual
SlurmctldHost=$(hostname)($NET.1)
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$STATE/state
SlurmdSpoolDir=$STATE/spool/%n
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.%n.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/%n.log
ReturnToService=2
SlurmdTimeout=10
MpiDefault=none
MinJobAge=3600
JobRequeue=1
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=1
SlurmdParameters=config_overrides
${nodes}PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
C
  printf '%s' "$gres" >"$STATE/etc/gres.conf"
  echo "CgroupPlugin=cgroup/v1" >"$STATE/etc/cgroup.conf"
  [ -f /etc/munge/munge.key ] || mungekey -c
  chown munge /run/munge /etc/munge/munge.key
  pgrep -x munged >/dev/null || runuser -u munge -- munged
  slurmctld
  local entry
  for entry in "${names[@]}"; do
    start_host "${entry%%:*}"
    echo "${entry##*:}" >"$STATE/${entry%%:*}.address"
  done
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" -eq ${#names[@]} ] && { sinfo -N -o "%N %t %G %c"; return 0; }
    sleep 0.5
  done
  echo "virtual_slurm: hosts did not come up; logs in $STATE/log" >&2
  return 1
}

down() {
  local f name
  for f in "$STATE"/*-*.pid; do [ -e "$f" ] || continue; kill -9 "$(cat "$f")" 2>/dev/null || true; done
  [ -e "$STATE/slurmctld.pid" ] && kill "$(cat "$STATE/slurmctld.pid")" 2>/dev/null || true
  for f in "$STATE"/*.address; do
    [ -e "$f" ] || continue
    name=$(basename "$f" .address)
    ip link del "vs$(cat "$f")" 2>/dev/null || true
    ip netns del "$name" 2>/dev/null || true
    rm -f /dev/vslurm-"$name"-*
  done
  ip link del $BRIDGE 2>/dev/null || true
  rm -rf "$STATE"
}

case ${1:-} in
  up) shift; up "$@" ;;
  down) down ;;
  kill) kill -9 "$(cat "$STATE/$2.pid")" ;;
  on) shift; on_host "$@" ;;
  start) find "$STATE/$2/tmp" -mindepth 1 -delete; start_host "$2" ;;
  cut) ip link set "vs$(cat "$STATE/$2.address")" down ;;
  heal) ip link set "vs$(cat "$STATE/$2.address")" up ;;
  *) sed -n '2,20p' "$0"; exit 2 ;;
esac
