/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The verbs. Each takes what was written behind it, NULL-terminated and of the number that main.c's table
 * allows; addresses and methods among it have been checked and are in the client. Returns as client.h says;
 * those that run a command return its exit status, or EXIT_NOT_RUN and what follows it.
 */

#include "pcireset/client.h"

int verb_list(Client *client, char **arguments);
int verb_show(Client *client, char **arguments);
int verb_methods(Client *client, char **arguments);
int verb_plan(Client *client, char **arguments);
int verb_holders(Client *client, char **arguments);
int verb_doctor(Client *client, char **arguments);
int verb_report(Client *client, char **arguments);
int verb_history(Client *client, char **arguments);
int verb_policy(Client *client, char **arguments);
int verb_qualify(Client *client, char **arguments);
int verb_reset(Client *client, char **arguments);
int verb_recover(Client *client, char **arguments);
int verb_health(Client *client, char **arguments);
int verb_quarantine(Client *client, char **arguments);
int verb_release(Client *client, char **arguments);
int verb_run(Client *client, char **arguments);
int verb_inhibit(Client *client, char **arguments);
int verb_jobs(Client *client, char **arguments);
int verb_cancel(Client *client, char **arguments);
int verb_leases(Client *client, char **arguments);
int verb_inhibitors(Client *client, char **arguments);
int verb_monitor(Client *client, char **arguments);
