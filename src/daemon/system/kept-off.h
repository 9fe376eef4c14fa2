/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The devices that drivers were kept off in this boot, as workers have noted it (WORKER_KEPT_OFF_DIR).
 */

#include <stdbool.h>

#include "shared/address.h"

/* Hands each to `found`. 0 or what reading the directory said; one that is not there has none. A note of a
 * device that is not there stays: a reset that has taken it away may be about to bring it back as it was. */
int kept_off_load(const char *directory, void (*found)(void *userdata, const PciAddress *address),
                  void *userdata);

/* Whether there is a note of the address, which whatever appears there is to be freed of. `directory` is no
 * longer than WORKER_KEPT_OFF_DIR. */
bool kept_off_is_noted(const char *directory, const PciAddress *address);
