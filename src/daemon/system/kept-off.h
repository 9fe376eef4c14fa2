/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The devices that drivers were kept off in this boot, as workers have noted it (WORKER_KEPT_OFF_DIR).
 */

#include "shared/address.h"

/* Hands each to `found`, and removes the notes of those for which that returns false. 0 or what reading the
 * directory said; one that is not there has none. */
int kept_off_load(const char *directory, bool (*found)(void *userdata, const PciAddress *address),
                  void *userdata);
