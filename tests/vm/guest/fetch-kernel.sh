#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs as a mmdebstrap hook, outside the new root but with its apt
# configuration, so that the kernel comes from the same mirrors as the rest.
# The kernel and the hypervisor are only fetched, not installed: installing
# would drag in initramfs-tools and a boot loader. $BED_OUT is where the
# packages go.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

image=$(apt-cache depends linux-image-amd64 |
	sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
test -n "$image"

cd "$BED_OUT"
# apt's own user may not enter our cache; as root there is nothing to drop to.
apt-get -qq -o APT::Sandbox::User=root download "$image" busybox-static xen-hypervisor-4.17-amd64
mv linux-image-*.deb kernel.deb
mv busybox-static_*.deb busybox.deb
mv xen-hypervisor-*.deb hypervisor.deb
echo "$image" >kernel-package
