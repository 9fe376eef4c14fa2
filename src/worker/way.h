/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The ways of a reset: what differs from method to method in the row of steps that reset.c goes through.
 *
 * Steps that return bool return true to go on. One that returns false has ended the reset with reset_end():
 * the result says why, and nothing was reset.
 */

#include "shared/method.h"
#include "worker/device.h"
#include "worker/health.h"
#include "worker/holders.h"
#include "worker/reset.h"

typedef struct Way Way;
struct ComeBack;

typedef struct Reset {
        const WorkerRequest *request;
        const int *group_fds; /* request->n_fds of them, borrowed */
        const ResetEvents *events;
        const Way *way;
        void *state; /* the way's own */
        int devices_fd; /* the directory of all devices, borrowed */
        Device *members; /* in the order of the request, the target first */
        size_t n_open;
        Device bridge;
        bool bridge_sleeps; /* in the record of a worker that was killed */
        struct ComeBack *come_back; /* for a way that takes the link down, else NULL */
        Health *before;
        Health *after;
        HoldersClaims claims; /* on the disks of the set, over the write */
        uint64_t started_usec, finished_usec; /* of the last try to write */
        WorkerResult *result;
} Reset;

struct Way {
        /* Opens what will be written and reads what must be known or put back. Writes nothing. */
        bool (*open)(Reset *reset);

        /* After everything has been judged, before the phase `resetting` is told. Writes nothing to a
         * device. May be NULL. */
        bool (*prepare)(Reset *reset);

        /* Makes the write possible, after the last look at who uses the devices; may itself write to
         * devices, and then looks again. May be NULL. */
        bool (*begin)(Reset *reset);

        /* Resets. 0 or a negative errno. */
        int (*write)(Reset *reset);

        /* Whether to call `write` once more after -EAGAIN, which said that locks were taken and nothing was
         * done. NULL: that is as final as any other error. */
        bool (*again)(Reset *reset);

        /* Through whose directory the write goes: turned away with -ENODEV when that device is gone, it has
         * reset nothing. NULL: not known. */
        const Device *(*written_to)(const Reset *reset);

        /* After the write, whatever became of it: waits for devices that are to come back. May be NULL. */
        void (*follow)(Reset *reset);

        /* Last of all, also when nothing was reset: puts back what `begin` has changed. May be NULL. */
        void (*put_back)(Reset *reset);

        /* For a worker that comes after one which was killed with the same request: what was taken away is
         * brought back as far as the system is concerned, and what was changed beside the devices. Of the
         * other steps none was taken, so there is no state, and devices that are not there are not open. May
         * be NULL. */
        void (*bring_back)(Reset *reset);

        /* Frees the state, which is never NULL then. */
        void (*done)(Reset *reset);

        /* The devices are removed and found again: whoever claims one gives it back before, and drivers are
         * the kernel's affair. */
        bool removes_devices;
};

extern const Way way_kernel, way_subordinate, way_slot, way_rescan, way_vfio_hot, way_pciback, way_thaw;

const Way *way_find(const char *method);

/* Begins one with nothing open, all of which is borrowed. 0 or -ENOMEM. In either case reset_done() frees
 * what is in it, whatever it has come to. */
int reset_init(Reset *ret, int devices_fd, const WorkerRequest *request, const ResetEvents *events);
void reset_done(Reset *reset);

/* Ends the reset where it is. Returns false, so that a step can return it. */
__attribute__((format(printf, 5, 6))) bool reset_end(Reset *reset, WorkerOutcome outcome, const char *why,
                                                     int error, const char *format, ...);
bool reset_end_gone(Reset *reset, const Device *device);
bool reset_end_locked(Reset *reset);

/* Adds to the message, after a semicolon if it says something already. */
__attribute__((format(printf, 2, 3))) void reset_add_message(Reset *reset, const char *format, ...);

const char *reset_target_name(const Reset *reset);

/* Scans for holders: false and the end if one is in the way. With `claim` the disks of the set stay claimed
 * by us from then on, so that nobody can mount them; not if a driver is to be taken off or a device to be
 * removed. */
bool reset_check_holders(Reset *reset, bool claim);

/* Looks whether every member is used as the request says. */
bool reset_check_use(Reset *reset);

/* That, and whether the bridge still has nothing below it but members: what hangs there is hit too by a way
 * that resets the whole bus. */
bool reset_check_use_below_bridge(Reset *reset);

/* Calls `try` until it returns something else than -EAGAIN, with which the kernel says that a lock was taken
 * and that it did nothing, or until the request's time for that is over. Between two tries `again` is asked
 * whether to go on; NULL: yes. True, and what the last try returned; false if `again` has ended the reset.
 */
bool reset_retry(Reset *reset, int (*try)(Reset *reset), bool (*again)(Reset *reset), int *ret);

/* Room for the way's state, zeroed. False and the end if there is no memory. */
bool reset_allocate_state(Reset *reset, size_t size);
