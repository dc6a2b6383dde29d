#!/bin/sh
# Called by mmdebstrap: customize-host.sh ROOT UNIT...   Masks what a host for tests does not need.
set -eu
root=$1
shift
for unit in "$@"; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo testhost > "$root/etc/hostname"
chroot "$root" passwd --quiet --delete root
