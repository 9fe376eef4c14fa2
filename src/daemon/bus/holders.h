/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who uses a device and who has claimed it, as far as the one who asks may know.
 *
 * What the machine shows everybody anyway (mounts, swap, interfaces, guests) is told in full, and so is a
 * process to its own user and to root. Processes of others appear as a number.
 */

#include <stdio.h>
#include <systemd/sd-bus.h>

#include "daemon/domain/device.h"

/* Appends one a{sv} for each holder that the viewer may see, and one for all others of a device and kind. */
int append_holders(sd_bus_message *message, const Holder *holders, size_t n, uint32_t viewer_uid);

/* The same in words: "/dev/nvme0n1 on /mnt is mounted; 2 processes of others have it open". Names those
 * devices that are not `target`. Prints nothing if there is no holder. */
void print_holders(FILE *f, const Holder *holders, size_t n, uint32_t viewer_uid, const PciAddress *target);

#define OWNER_TEXT_MAX (HOLDER_WHAT_MAX + 8U)

/* Whose device it is: the owner that a udev rule or the seat names, else "uid:N" with the one who made its
 * lease, else "domain:" and the Xen guest that has it, else "uid:N" with the user of its VFIO node, else "".
 * The last two as the last look found them. This is only told: what it permits is plan.h's. */
const char *device_owner(const Device *device, char buffer[static OWNER_TEXT_MAX]);

/* One a{sv} that says so, also if nobody is known: `device`, `owner`, and of a leased one `lease`, `uid` and
 * `who` of its maker. */
int append_owner(sd_bus_message *message, const Device *device);

/* A row of ListLeases or ListInhibitors: an a{sv}. */
int append_claim(sd_bus_message *message, const ClaimRecord *record);
