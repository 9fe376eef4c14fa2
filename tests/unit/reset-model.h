/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Whole resets on a tree of plain files. The one function through which the worker writes to a device,
 * attribute_write(), is wrapped by the linker (--wrap), so that a small model of the kernel stands behind
 * the files: it says which lists `reset_method` takes, what a reset does to the device, it removes devices
 * and finds them again, and it writes down what was written, in order. Phases and the saving of the list go
 * into the same log.
 */

#include <stdbool.h>

#include "fake-pci.h"
#include "worker/reset.h"

#define CARD    "0000:01:00.0"
#define SIBLING "0000:01:00.1"
#define PORT    "0000:00:1c.0"

/* What the kernel does; each test sets what it needs. */
typedef struct KernelModel {
        const char *supported; /* names that `reset_method` takes, and what `default` stands for */
        int list_error; /* every write of a list fails so */
        int default_error; /* a write of `default` fails so */
        int fail_list_after; /* writes of lists that succeed before all others fail; 0: no such thing */
        int reset_error; /* the write to `reset` and its like fails so */
        int n_busy; /* so many of them fail with -EAGAIN before */
        void (*on_busy)(void); /* happens then */
        void (*on_reset)(void); /* then happens, whether it fails or not */
        void (*on_select)(void); /* happens after the first list was written */
        void (*on_phase)(WorkerEventType phase);
        int save_error;
        int lists;

        int off_error, on_error; /* of a slot's power */
        void (*on_failed_on)(void); /* after its power could not be switched on */
        bool nothing_is_removed;
        void (*on_return)(void); /* the devices are to be found; NULL: the card and its sibling are */
        void (*on_removed)(void); /* the first device was removed */
        const char *autoprobe; /* the driver that is bound to a device that is found, NULL: none */

        int unbind_error, bind_error, override_error;
        bool unbind_does_nothing;
        void (*on_unbind)(void);

        /* Who is found to use devices: the first scans find these, the others nobody. */
        const Holder *holders;
        size_t n_holders;
        int n_scans_before; /* so many find nobody before */
        int scan_error;
        void (*on_scan)(void); /* happens during each that is not one of those before */
} KernelModel;

extern FakePci pci;
extern KernelModel kernel;
extern char action_log[2048];
extern char current_list[64]; /* of the card */

/* Of the last run: how often holders were looked for, and how often the disks were claimed during a reset.
 */
extern int n_scans;
extern int n_claims;

extern WorkerMember members[3]; /* the card, its sibling */
extern WorkerRequest request; /* of an flr of the card alone, below the port */
extern WorkerResult *result;

__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* A test's fixture. */
void model_setup(void);
void model_teardown(void);

/* Makes the request one for `method` of the card and its sibling. */
void model_use_method(const char *method);
/* The slot of the two functions. */
void model_use_slot(void);

void set_list(const char *list);

/* Adds the function below the port, as the kernel finds it. */
void model_find(const char *address);

/* Does the reset and leaves the result. */
void run(void);
extern const int *group_fds; /* that come with the request */

void expect_result(WorkerOutcome outcome, const char *why, int error, Verdict verdict, ListRestored list);

/* Refused before anything was written or announced. */
void expect_untouched(WorkerOutcome outcome, const char *why, int error);

/* The check of that name of the device. */
const WorkerCheck *find_check(const char *device, const char *name);
void expect_check(const char *device, const char *name, CheckResult outcome);
