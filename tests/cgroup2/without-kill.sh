#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# without-kill.sh CGROUP COMMAND…: as before Linux 5.14, cgroup.kill can't be
# used: the init's own one is read-only. In a mount namespace of its own.
set -euo pipefail
file=$1/init/cgroup.kill
shift
mkdir -p "${file%/*}"
mount --bind "$file" "$file"
mount -o remount,bind,ro "$file"
exec "$@"
