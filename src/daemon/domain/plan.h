/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a reset would do, decided from facts alone: no bus, no files, no clock.
 *
 * A plan is a ladder of rungs, one for each method that the request may use. Each rung knows every device it
 * would disturb (the reset set), whether it may be taken now and if not why, and which polkit actions it
 * needs. The live facts of the target and of everything in its sets must have been refreshed before: see
 * plan_for_each_concerned().
 */

#include "daemon/domain/device.h"

/* Why a method cannot be used now. Several may hold; WHY_NAMES in plan.c has the codes shown to clients. */
typedef enum Why {
        WHY_NOT_ADVERTISED = 1 << 0, /* the kernel does not list the method */
        WHY_UNKNOWN_METHOD = 1 << 1, /* listed, but of unknown scope: what it disturbs is unknown */
        WHY_BRIDGE = 1 << 2, /* the target is a bridge: a reset would take its windows away */
        WHY_ROOT_BUS = 1 << 3, /* no bridge above whose secondary bus could be reset */
        WHY_SIBLINGS = 1 << 4, /* other functions below the same bridge: the kernel refuses */
        WHY_TOPOLOGY_UNKNOWN = 1 << 5, /* the bridge above is not known (yet) */
        WHY_DRIVER_BOUND = 1 << 6, /* a host driver uses a member; lifted by in_use */
        WHY_VFIO_OPEN = 1 << 7, /* somebody has a member open through VFIO */
        WHY_PCIBACK = 1 << 8, /* a Xen guest may have a member */
        WHY_TSM_BOUND = 1 << 9, /* a member is bound to a trusted guest */
} Why;

#define WHY_IN_USE_MASK (WHY_DRIVER_BOUND | WHY_VFIO_OPEN | WHY_PCIBACK | WHY_TSM_BOUND)

/* polkit actions, without their prefix. */
typedef enum Action {
        ACTION_RESET = 1 << 0,
        ACTION_RESET_SHARED = 1 << 1,
        ACTION_RESET_IN_USE = 1 << 2,
} Action;

#define ACTION_PREFIX "org.pciresetd1."

typedef struct PlanOptions {
        bool in_use; /* the caller asks for a reset although a host driver is bound */
} PlanOptions;

/* The devices in a rung belong to the registry: a plan does not outlive the next change of the registry. */
typedef struct Rung {
        char method[RESET_METHOD_NAME_MAX];
        ResetScope scope;
        Device *bridge; /* above the target, NULL on a root bus */
        Device **set; /* the target first */
        size_t n_set;
        unsigned why; /* of Why; 0: usable */
        unsigned actions; /* of Action; meaningful if usable */
        uint64_t expected_usec;
} Rung;

typedef struct Plan {
        Rung *rungs;
        size_t n_rungs;
} Plan;

/* Plans `method`, a method's name or an alias. Returns 0; -EINVAL if it is neither a known method, nor an
 * alias, nor advertised by the device; -ENOMEM. An alias without any method gives an empty plan. */
int plan_make(Device *target, const char *method, const PlanOptions *options, Plan **ret);
Plan *plan_free(Plan *plan);

/* Calls `refresh` for every device whose live facts a plan for `target` may look at. Stops at the first
 * negative return and hands it on. */
int plan_for_each_concerned(Device *target, int (*refresh)(void *userdata, Device *device), void *userdata);

/* How a member is used, as far as its driver tells. 0: not at all. */
unsigned plan_member_use(const Device *member);

/* The next code in a set of Why or Action bits: `*cursor` starts at 0. NULL at the end. */
const char *why_next(unsigned why, unsigned *cursor);
const char *action_next(unsigned actions, unsigned *cursor); /* with the prefix */

/* Everything about a rung that an authorisation was given for, as text: two equal texts mean that the old
 * answer holds. NULL: out of memory. The caller frees it. */
char *rung_fingerprint(const Rung *rung);
