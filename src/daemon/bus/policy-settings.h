/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Settings of a rule as an a{sv}: the keys of policy files, with values of the types `as`, `b`, `s` and `t`.
 */

#include <systemd/sd-bus.h>

#include "daemon/domain/policy.h"

/* Reads the settings that come next in `message`: at least one, none twice. On bad ones sets InvalidArgs and
 * returns negative. */
int policy_settings_read(sd_bus_message *message, PolicySettings *ret, sd_bus_error *error);

/* Appends a variant with the value of one key. */
int append_setting_value(sd_bus_message *message, const PolicySettings *settings, PolicyKey key);

/* Appends an a{sv} of the keys that are set. */
int append_settings(sd_bus_message *message, const PolicySettings *settings);
