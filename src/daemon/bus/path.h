/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The names on the bus: fixed for good, since clients are written against them.
 */

#include <stdint.h>

#include "shared/address.h"

#define BUS_NAME         "org.pciresetd1"
#define BUS_PATH         "/org/pciresetd1"
#define DEVICE_PREFIX    BUS_PATH "/device"
#define JOB_PREFIX       BUS_PATH "/job"
#define MANAGER_IFACE    "org.pciresetd1.Manager"
#define DEVICE_IFACE     "org.pciresetd1.Device"
#define JOB_IFACE        "org.pciresetd1.Job"
#define BUS_ERROR_PREFIX "org.pciresetd1.Error."

/* The longest path of ours: a prefix and an address, in which each `:` and `.` takes three characters. */
#define OBJECT_PATH_MAX 64U

/* Both write into `path` and return it. */
const char *device_path(const PciAddress *address, char path[static OBJECT_PATH_MAX]);
const char *job_path(uint32_t id, char path[static OBJECT_PATH_MAX]);
