/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Work that waits for a disk, in a thread of its own: the loop goes on meanwhile.
 *
 * The work sees nothing but what it is given. A daemon that ends does not wait for it: a thread that hangs
 * on a file server which is gone ends with the process.
 */

#include <systemd/sd-event.h>

typedef struct DiskTask DiskTask;

typedef struct DiskWork {
        int (*run)(void *data); /* in the thread. Its return value is the result */
        void (*done)(void *userdata, void *data, int result); /* in the loop; `data` is its to free */
        void (*release)(void *data); /* if nobody wants the result any more: in either of them */
        void *data;
        void *userdata;
} DiskWork;

/* Takes over `work->data` when it succeeds. 0 or a negative errno. The task is gone once done() was called.
 */
int disk_task_start(sd_event *event, const DiskWork *work, DiskTask **ret);

/* done() will not be called. Accepts NULL, returns NULL. */
DiskTask *disk_task_forget(DiskTask *task);
