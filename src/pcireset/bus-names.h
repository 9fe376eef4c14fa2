/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's names on the bus.
 */

#define BUS_NAME             "org.pciresetd1"
#define ROOT_PATH            "/org/pciresetd1"
#define DEVICE_PATH          ROOT_PATH "/device"
#define JOB_PATH             ROOT_PATH "/job"
#define MANAGER_INTERFACE    "org.pciresetd1.Manager"
#define DEVICE_INTERFACE     "org.pciresetd1.Device"
#define JOB_INTERFACE        "org.pciresetd1.Job"
#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define ERROR_PREFIX         "org.pciresetd1.Error."

/* Errors that only this client knows, for --json. */
#define CLIENT_ERROR(name) "org.pciresetd1.Client." name
