/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Resets as tests see them: two that are in each other's way, one that stands still, and what is said of
 * one in the end.
 */

#include "bus.h"

#define FUNCTION1 "0000:01:00.1"

/* A daemon with two functions below PORT, CARD and FUNCTION1, so that two devices share a bridge. The
 * observer hears signals. */
void start_with_two_functions(void);

/* alice's reset of CARD is in the kernel and stays there. Returns what model_hold() does. */
int reset_hold(Call **ret_running);
/* With two functions: such a reset, and hers of FUNCTION1, which waits behind it. */
int start_waiting(Call **ret_running, Call **ret_waiting);

/* Until the device's State is this one. The observer has to hear signals. */
void wait_for_state(const char *address, const char *state);
/* The call's answer has to be a success. */
void finish_well(Call *running);

/* When the index-th event of this kind was seen by the model of the kernel, on a clock of its own.
 * `address`: NULL for any device. There has to be one. */
uint64_t event_time(const char *what, const char *address, size_t index);

/* A daemon with a job of CARD's that stands still, since jobs are objects too. Returns what
 * model_hold() does, the call, and the job's path, which the caller frees. */
int start_with_job(Call **ret_call, char **ret_path);
void finish_job(int *hold, Call *call);

/* The object's description of itself, which the caller frees. */
char *introspect(const char *path);

/* In a result, "0" of a reply and "1" of an error: the index-th attempt is as told. */
void check_attempt(const Reply *reply, const char *result, size_t index, const char *method,
                   const char *outcome, int error, const char *verdict);
/* The check of this name on the device. There has to be one. */
json_object *find_check(const Reply *reply, const char *result, const char *device, const char *check);

/* The kernel's list of CARD reads so, in the model. */
void check_list(const char *expected);
