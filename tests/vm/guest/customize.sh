#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs as a mmdebstrap hook with the new root as $1: turns a plain Debian into
# the test machine, as far as that needs programs of the new root.
set -eu
root=$1

chroot "$root" useradd --uid 1001 --user-group --create-home --shell /bin/bash alice
chroot "$root" useradd --uid 1002 --user-group --create-home --shell /bin/bash bob
chroot "$root" passwd -q -d root

echo vm >"$root/etc/hostname"
echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
: >"$root/etc/motd"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"

# Nothing may wake up by itself and disturb a measurement.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-tmpfiles-clean.timer systemd-timesyncd.service \
	systemd-binfmt.service proc-sys-fs-binfmt_misc.automount; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Xen's daemons are started by the cases that are about them.
for service in xen xendomains; do
	chroot "$root" update-rc.d "$service" disable
done

# It starts when a case wants it.
for unit in libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service \
	virtlogd.service virtlogd.socket virtlockd.service virtlockd.socket; do
	rm -f "$root"/etc/systemd/system/*.wants/"$unit"
done

# Stacks on disks are put together and taken apart by cases, and by nobody else.
mkdir -p "$root/etc/udev/rules.d"
for rules in 64-md-raid-assembly.rules 69-lvm.rules; do
	ln -sf /dev/null "$root/etc/udev/rules.d/$rules"
done
for unit in lvm2-monitor.service lvm2-lvmpolld.socket dm-event.socket blk-availability.service \
	mdmonitor.service mdmonitor-oneshot.timer mdcheck_start.timer mdcheck_continue.timer; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
