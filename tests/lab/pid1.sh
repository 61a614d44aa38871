#!/bin/sh
# PID 1 of a lab host until systemd takes its place. All of this must happen here: systemd-nspawn mounts /sys and
# /proc/sys after its own --bind options, which would hide what they bound there.

# nspawn leaves the version 1 controllers read-only; then MemoryMax= and CPUQuota= would silently do nothing.
for folder in /sys/fs/cgroup/*; do
  case ${folder##*/} in
    systemd | unified) ;;
    *) [ -f "$folder/cgroup.procs" ] && mount -o remount,rw,bind "$folder" 2>/dev/null ;;
  esac
done

# Fixture trees of the lab tool over the real files: "SOURCE TARGET" in each line.
if [ -s /lab/binds ]; then
  while read -r source target; do
    case $source in '' | '#'*) continue ;; esac
    mount --bind "$source" "$target" || echo "lab: cannot bind $source over $target"
  done </lab/binds
fi

exec /lib/systemd/systemd
