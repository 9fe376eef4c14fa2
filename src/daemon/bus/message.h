/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The shape that most answers have: an a{sv} in which some values are arrays.
 */

#include <systemd/sd-bus.h>

/* One entry of an a{sv} with a plain value: its type and the value follow. */
#define append_entry(message, key, ...) sd_bus_message_append(message, "{sv}", key, __VA_ARGS__)

/* The same for one value of a basic type, as sd_bus_message_append_basic() takes it. It costs three
 * quarters, which counts in answers that are made of hundreds of them. */
int append_basic_entry(sd_bus_message *message, const char *key, char type, const void *value);

/* Opens an entry whose value is an array; its elements, of the type `contents`, come next. */
int open_array_entry(sd_bus_message *message, const char *key, const char *contents);
int close_array_entry(sd_bus_message *message);
