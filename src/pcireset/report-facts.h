/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The parts of a report that are read here and not asked of the daemon: from sysfs, /proc and uname(2). What
 * cannot be read is left out. Each returns 0 and an object or an array, or -ENOMEM.
 */

#include "pcireset/bus-json.h"
#include "pcireset/pci-config.h"
#include "pcireset/redact.h"

/* Makes the redactor know what identifies this device: what sysfs tells of serial numbers, MAC addresses and
 * GUIDs of it and of what its drivers have made of it, and the serial number in its configuration space. 0
 * or -ENOMEM. */
int report_collect_secrets(const char *address, const PciConfig *config, Redactor *redactor);

/* The kernel, the machine, and what its command line says of PCI: kernel s, architecture s, machine s,
 * firmware s, command_line s, parameters_left_out i. */
int report_system(const Redactor *redactor, json_object **ret);

/* One function: address s, attributes of sysfs under their names there, reset_subordinate b, slot s.
 * `names`: from libpci's database. */
int report_function(const char *address, json_object **ret);

/* The addresses of the bridges above, from the device up to the root. */
int report_bridges(const char *address, json_object **ret);

/* The configuration space: bytes i, of i, hex as, note s (why it is not whole; empty: it is). */
int report_config(const PciConfig *config, json_object **ret);

/* With serials: what identifies this device, as attributes. */
int report_serials(const char *address, const PciConfig *config, json_object **ret);
