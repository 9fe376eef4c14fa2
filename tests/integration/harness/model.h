/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel shall do (the knobs of the kernel model) and what it did (its log). See kernel-model.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The default knobs of a new device; sysfs_add() calls it. */
void model_add(const char *address, const char *supported);

/* `method` may be NULL: any method. */
void model_fail(const char *address, const char *method, int error);
void model_unfail(const char *address, const char *method);
/* Any knob of kernel-model.h, of a device or a slot. */
void model_knob(const char *address, const char *knob, const char *text);
void model_supported(const char *address, const char *supported);
/* After `skip` more writes to `reset_method` all of them fail. */
void model_refuse_lists(const char *address, unsigned skip, int error);
/* A successful reset puts these contents into the attribute. */
void model_after(const char *address, const char *method, const char *attribute, const void *data,
                 size_t size);
/* …makes every read of the configuration space all-ones; */
void model_dies(const char *address, const char *method);
/* …clears the command register. */
void model_degrades(const char *address, const char *method);

/* While held, a reset that has begun does not end. Several may be held. */
int model_hold(const char *address);
/* While held, reading `config` and the like hangs, as if somebody else were resetting the device. */
int model_hold_reads(const char *address);
/* While held, a write to `reset_method` does not return. The event `listing` tells that one is there. */
int model_hold_list(const char *address);
void model_release(int *hold);

typedef struct ModelEvent {
        char what[16];
        char address[32];
        uint64_t inode;
        int pid;
        uint64_t usec;
        char rest[256];
} ModelEvent;

/* The events so far, in the order of their happening. `what` and `address` may be NULL: any. */
size_t model_count(const char *what, const char *address);
bool model_event(const char *what, const char *address, size_t index, ModelEvent *ret);
/* Waits for the index-th. */
ModelEvent model_wait(const char *what, const char *address, size_t index);
/* Writes of any kind, also refused ones. */
size_t model_writes(void);
void model_forget(void);
void model_init(void);
