#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# read-only.sh COMMAND…: as in a container: /sys/fs/cgroup shows this cgroup as
# its root and can't be written. In a mount and cgroup namespace of its own.
set -euo pipefail
umount /sys/fs/cgroup
mount -t cgroup2 -o ro cgroup2 /sys/fs/cgroup
exec "$@"
