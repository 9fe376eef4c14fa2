/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Names of vendors and devices from libpci's id database.
 *
 * Each name is looked up once and kept: machines have many functions of few kinds. The strings live as long
 * as the Names object.
 */

#include <stdint.h>

typedef struct Names Names;

int names_new(Names **ret);
Names *names_free(Names *names);

/* "" if the database does not know it. Never NULL. */
const char *names_vendor(Names *names, uint16_t vendor);
const char *names_device(Names *names, uint16_t vendor, uint16_t device);
/* Vendor and device in one line for people; the class and the ids in numbers where names are not known. */
const char *names_description(Names *names, uint16_t vendor, uint16_t device, uint32_t class);
