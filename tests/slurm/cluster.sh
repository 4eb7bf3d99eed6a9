#!/usr/bin/env bash
# A SLURM cluster of two nodes with accounting on one Debian machine, for the tests; needs root and apt.
#
#   tests/slurm/cluster.sh start | stop
#
# Everything listens on loopback, and is stopped by the process numbers that it wrote. Beyond Debian's packages
# nothing is needed: no systemd, no cgroups. The nodes are called n1 and n2 and live in FOLDER.
set -euo pipefail

FOLDER=${VAE_LAB_SLURM:-/var/tmp/vae_lab_slurm}
PACKAGES=(munge slurmctld slurmd slurmdbd slurm-client mariadb-server-core mariadb-client-core)
NODES=(n1 n2)
CONF=/etc/slurm
SOCKET=$FOLDER/mariadb.sock

runs() { # a process that is there and no zombie
  [ -s "$1" ] && [ "$(sed -n 's/^State:\t\([A-Z]\).*/\1/p' "/proc/$(cat "$1")/status" 2>/dev/null || echo Z)" != Z ]
}

until_true() { # seconds, what, command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "waited in vain for $what" >&2
      tail -n 5 "$FOLDER"/*.log >&2
      exit 1
    fi
    sleep 0.2
  done
}

has_no_jobs() { [ -z "$(squeue --noheader)" ]; }

stop() {
  local name file
  if runs "$FOLDER/slurmctld.pid"; then # what still runs would outlive its cluster
    scancel --user="$(id -un)"
    until_true 30 "the end of the jobs" has_no_jobs
  fi
  for name in "${NODES[@]/#/slurmd-}" slurmctld slurmdbd mariadb munged; do
    file=$FOLDER/$name.pid
    runs "$file" || continue
    kill "$(cat "$file")"
    until_true 30 "the end of $name" eval "! runs $file"
    rm -f "$file"
  done
}

install_packages() {
  dpkg --status "${PACKAGES[@]}" >/dev/null 2>&1 && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${PACKAGES[@]}" >/dev/null
}

start_munge() { # it insists on who owns its folders
  install -d -o munge -g munge -m 755 /run/munge
  install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge /etc/munge
  [ -s /etc/munge/munge.key ] || head -c 128 /dev/urandom >/etc/munge/munge.key
  chown munge:munge /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  setpriv --reuid=munge --regid=munge --clear-groups munged --force --pid-file=/run/munge/munged.pid
  ln -sf /run/munge/munged.pid "$FOLDER/munged.pid"
  until_true 10 munge munge -n
}

start_database() {
  if [ ! -d "$FOLDER/mysql/mysql" ]; then
    mkdir -p "$FOLDER/mysql"
    mariadb-install-db --no-defaults --user=root --datadir="$FOLDER/mysql" --skip-test-db \
      --auth-root-authentication-method=socket >"$FOLDER/install.log" 2>&1
  fi
  mariadbd --no-defaults --user=root --datadir="$FOLDER/mysql" --socket="$SOCKET" --skip-networking \
    --pid-file="$FOLDER/mariadb.pid" --innodb-buffer-pool-size=64M >"$FOLDER/mariadb.log" 2>&1 </dev/null &
  until_true 30 mariadb mariadb --no-defaults --socket="$SOCKET" --user=root --execute='select 1'
}

configure() {
  mkdir -p "$CONF" "$FOLDER/state" "${NODES[@]/#/$FOLDER/spool-}"
  cat >"$CONF/slurmdbd.conf" <<END
AuthType=auth/munge
DbdHost=localhost
DbdPort=26819
SlurmUser=root
PidFile=$FOLDER/slurmdbd.pid
LogFile=$FOLDER/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
END
  chmod 600 "$CONF/slurmdbd.conf"
  # cred_expire: a requeued job may only start again when its old credential has expired.
  cat >"$CONF/slurm.conf" <<END
ClusterName=tests
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=26817
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=1
KillWait=3
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
StateSaveLocation=$FOLDER/state
SlurmdPidFile=$FOLDER/slurmd-%n.pid
SlurmdLogFile=$FOLDER/slurmd-%n.log
SlurmdSpoolDir=$FOLDER/spool-%n
SlurmdParameters=config_overrides
SlurmdTimeout=10
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=2000
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=26819
NodeName=n[1-2] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[27001-27002] CPUs=2 RealMemory=9000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
END
  for node in "${NODES[@]}"; do # several tasks meet at the first node's name
    grep -qw "$node" /etc/hosts || echo "127.0.0.1 $node" >>/etc/hosts
  done
}

are_idle() { [ "$(sinfo --noheader --Node --partition=main --format=%t | sort | uniq -c | tr -s ' ')" = " ${#NODES[@]} idle" ]; }

start() {
  install_packages
  stop
  # A cluster begins with nothing: jobs that were running when the last one ended would come back and hold the nodes.
  rm -rf "$FOLDER/state" "$FOLDER/mysql" "${NODES[@]/#/$FOLDER/spool-}" "$FOLDER"/*.log
  mkdir -p "$FOLDER"
  configure
  start_munge
  start_database
  MYSQL_UNIX_PORT=$SOCKET slurmdbd
  until_true 30 slurmdbd sacctmgr --noheader show cluster
  sacctmgr --noheader show cluster format=cluster | grep -qw tests || sacctmgr --immediate --quiet add cluster tests
  slurmctld
  until_true 20 slurmctld scontrol ping
  for node in "${NODES[@]}"; do slurmd -N "$node"; done
  until_true 30 "two idle nodes" are_idle
  srun --nodes=2 --ntasks=2 true
  echo "SLURM $(scontrol --version | cut -d' ' -f2) with two nodes"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start | stop" >&2; exit 2 ;;
esac
