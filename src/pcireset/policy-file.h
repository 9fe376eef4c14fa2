/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Policy files in the hand of people: checked as the daemon would read them, and edited without ever being
 * wrong in their place. Neither needs the daemon. Arguments and return as verbs.h says.
 */

#include "pcireset/client.h"

/* FILE: says what is wrong with it: file, line, column and rule. */
int policy_file_check(Client *client, char **arguments);

/* [FILE]: has an editor change a copy, checks that, and replaces the file. */
int policy_file_edit(Client *client, char **arguments);
