#!/bin/sh
# Run one lab host until it is off: supervise.sh HOST_FOLDER NSPAWN_ARGV...
# HOST_FOLDER/cgroups lists the groups to move into first, because nspawn makes its own groups below the one it is in.
set -u
folder=$1
shift
while read -r group; do
  echo $$ >"$group/cgroup.procs" || exit 70
done <"$folder/cgroups"
while [ ! -e "$folder/off" ]; do
  "$@" </dev/null >>"$folder/console.log" 2>&1
  code=$?
  # With --keep-unit, nspawn ends with 133 when the host asked for a reboot.
  [ "$code" -eq 133 ] || break
done
echo "${code:-0}" >"$folder/exit_code"
