/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a reset would do, decided from facts alone: no bus, no files, no clock.
 *
 * A plan is a ladder of rungs, one for each method that the request may use. Each rung knows every device it
 * would disturb (the reset set), whether it may be taken now and if not why, and which polkit actions it
 * needs. The live facts of the target and of everything in its sets must have been refreshed before, and
 * their use found out: see plan_concerned().
 */

#include "daemon/domain/claim.h"
#include "daemon/domain/device.h"
#include "daemon/domain/policy.h"
#include "daemon/domain/proven.h"
#include "shared/worker-protocol.h"

/* Why a method cannot be used now. Several may hold; WHY_NAMES in plan.c has the codes shown to clients. */
typedef enum Why {
        WHY_NOT_ADVERTISED = 1 << 0, /* the kernel does not list the method, or has not what it needs */
        WHY_UNKNOWN_METHOD = 1 << 1, /* listed, but of unknown scope: what it disturbs is unknown */
        WHY_BRIDGE = 1 << 2, /* the target is a bridge: a reset would take its windows away */
        WHY_ROOT_BUS = 1 << 3, /* no bridge above whose secondary bus could be reset */
        WHY_SIBLINGS = 1 << 4, /* other functions below the same bridge: the kernel refuses */
        WHY_TOPOLOGY_UNKNOWN = 1 << 5, /* the bridge above is not known (yet) */
        WHY_VIRTUAL = 1 << 6, /* the target is a virtual function: it would not come back */
        WHY_NOT_VFIO = 1 << 7, /* a member is not bound to a VFIO driver */
        WHY_NOT_OWNED = 1 << 8, /* the VFIO group of a member was not presented */
        WHY_DRIVER_BOUND = 1 << 9, /* a member's host driver would lose its state; lifted by in_use */
        WHY_HELD = 1 << 10, /* a member has soft holders; lifted by in_use */
        WHY_VFIO_OPEN = 1 << 11, /* somebody has a member open through VFIO */
        WHY_STORAGE = 1 << 12, /* a member carries a mounted file system, swap or a claimed block device */
        WHY_NETWORK = 1 << 13, /* a member carries an interface with addresses */
        WHY_GUEST = 1 << 14, /* a Xen guest has a member, or may have it */
        WHY_TSM_BOUND = 1 << 15, /* a member is bound to a trusted guest */
        WHY_USE_UNKNOWN = 1 << 16, /* it could not be found out who uses a member */
        WHY_LEASED = 1 << 17, /* somebody else has a lease on a member */
        WHY_LEASE_GONE = 1
                         << 18, /* the lease that the request relies on does not hold the target any more */
        WHY_INHIBITED = 1 << 19, /* somebody forbids it for now */
        WHY_EDGES = 1 << 20, /* the kernel resets a set of its own, and an edge ties others to it */
        WHY_NOT_ASSIGNABLE = 1 << 21, /* the target is for Xen guests and another member is not */
        WHY_FORBIDDEN = 1 << 22, /* a rule forbids the method */
        WHY_LINK_FORBIDDEN = 1 << 23, /* a rule allows no reset of more than the function */
        WHY_NOT_LISTED = 1 << 24, /* a rule's order has it not; holds for aliases only */
        WHY_KNOWN_BAD = 1 << 25, /* it is known to do harm, and no order names it; holds for aliases only */

        WHY_RECOVERING = 1 << 26, /* the kernel recovers a member from an error */
        WHY_NOT_RELEASED = 1 << 27, /* the daemon resets what was let go, and a member was not */

        WHY_FROZEN = 1 << 28, /* a member's partitionable endpoint is frozen: it has to be thawed first */
        WHY_NOT_FROZEN = 1 << 29, /* and for `thaw` it has to be */

        WHY_LAST = WHY_NOT_FROZEN,
} Why;

#define WHY_IN_USE_MASK                                                                                     \
        (WHY_DRIVER_BOUND | WHY_HELD | WHY_VFIO_OPEN | WHY_STORAGE | WHY_NETWORK | WHY_GUEST |              \
         WHY_TSM_BOUND | WHY_USE_UNKNOWN)
/* What the policy says. */
#define WHY_POLICY_MASK (WHY_FORBIDDEN | WHY_LINK_FORBIDDEN | WHY_NOT_LISTED | WHY_KNOWN_BAD)
/* What ends by itself once somebody lets go. */
#define WHY_WAITABLE_MASK (WHY_HELD | WHY_VFIO_OPEN | WHY_STORAGE | WHY_NETWORK | WHY_GUEST | WHY_LEASED)

/* polkit actions, without their prefix. */
typedef enum Action {
        ACTION_RESET = 1 << 0,
        ACTION_RESET_SHARED = 1 << 1,
        ACTION_RESET_IN_USE = 1 << 2,
        ACTION_RESET_OWNED = 1 << 3,
        ACTION_RESET_KNOWN_BAD = 1 << 4,
        ACTION_QUARANTINE = 1 << 5, /* a member is in quarantine */
} Action;

#define ACTION_PREFIX "org.pciresetd1."

/* Copies of lease descriptors that one request may present: option lease_fd. */
#define PLAN_LEASES_MAX 1U

/* Who asks, and what he shows to prove that devices are his. */
typedef struct PlanAsker {
        bool known; /* the uid is; GetMethods asks for it only where it matters, and nobody asks for what
                     * the daemon does by itself */
        uint32_t uid;
        char lease[CLAIM_ID_MAX]; /* the lease that the request relies on, empty: none */
        char presented[CLAIM_ID_MAX]; /* the lease of which a descriptor was presented, empty: none */
        char groups[WORKER_FDS_MAX][IOMMU_GROUP_MAX]; /* VFIO groups of which descriptors were presented */
        size_t n_groups;
} PlanAsker;

typedef struct PlanOptions {
        bool in_use; /* the caller asks for a reset although a host driver or soft holders use a member */
        bool when_idle; /* the caller waits until the holders have let go */
        bool aliased; /* the method is taken because of an alias, and nobody has named it */
        bool recovers; /* and that is `recover`, whose ladder has the last resorts on top */
        bool release; /* the daemon resets by itself what its last user has let go, and nothing beside */
        bool prepared; /* those who asked to be told before have been told */
        bool outlasts_recovery; /* the request was taken on before the kernel began to recover a member: it
                                 * waits for the end of that */
        const Proven *proven; /* what became of methods on this hardware; NULL: nothing is known */
        uint32_t job; /* that asks; what it has found out itself does not stand in its way. 0: none */
        PlanAsker asker;
} PlanOptions;

/* Devices and rules in a rung belong to the registry: a plan does not outlive the next change of the
 * registry or its policy. */
typedef struct Rung {
        char method[RESET_METHOD_NAME_MAX];
        ResetScope scope;
        Device *bridge; /* above the target, NULL on a root bus */
        Device **set; /* the target first */
        size_t n_set;
        unsigned why; /* of Why; 0: usable */
        unsigned busy; /* of Why: what has to end first, while the request waits for that */
        bool delayed; /* somebody asked to be told before */
        bool rebind; /* host drivers are taken off and put back */
        unsigned actions; /* of Action; meaningful if usable */
        unsigned left_out; /* of WHY_POLICY_MASK: why no alias takes it, though it may be named */
        const PolicyRule
                *rule; /* that is behind a reason of the policy's, in `why` or `left_out`; or NULL */
        const PolicyFinding *finding; /* what is known of the method on the target; or NULL */
        uint64_t expected_usec;
} Rung;

/* A plan has no more rungs. */
#define PLAN_RUNGS_MAX POLICY_ORDER_MAX

typedef struct Plan {
        Rung *rungs;
        size_t n_rungs;
        const PolicyRule
                *workaround; /* the rule by which an alias gives another ladder than without rules */
} Plan;

/* Plans `method`, a method's name or an alias. The rungs of an alias are in the policy's order; those that
 * the policy keeps out of it come last and are not usable. Returns 0; -EINVAL if it is neither a known
 * method, nor an alias, nor advertised by the device; -ENOMEM. An alias without any method gives an empty
 * plan. */
int plan_make(Device *target, const char *method, const PlanOptions *options, Plan **ret);
Plan *plan_free(Plan *plan);

/* Every device whose facts a plan for `target` may look at, the target first: 0 and an array that the caller
 * frees, or -ENOMEM. */
int plan_concerned(Device *target, Device ***ret, size_t *ret_n);

/* Calls `refresh` for each of them. Stops at the first negative return and hands it on. */
int plan_for_each_concerned(Device *target, int (*refresh)(void *userdata, Device *device), void *userdata);

/* True if finding out who uses the device needs a scan: without a driver there are no nodes and no
 * interfaces. */
bool plan_needs_scan(const Device *device);

/* True if a reset would make the member's driver lose its state: it is a host's that does not know resets.
 */
bool plan_member_loses(const Device *member);

/* The methods beside the kernel's that the device offers, in the order in which they are tried. `names` has
 * room for PLAN_OWN_METHODS_MAX. Returns how many. */
#define PLAN_OWN_METHODS_MAX 7U
size_t plan_own_methods(const Device *target, const char *names[static PLAN_OWN_METHODS_MAX]);

/* True if the method, taken because of an alias, does not count as a reset of this device: it is for guests,
 * each of which must find it as new. */
bool plan_is_doubtful(const Device *target, const char *method);

/* True if a reset of a link whose target is bound to pciback spares this one: no guest could have it, so the
 * host may want it at any time. */
bool plan_is_kept_by_host(const Device *member);

/* True if the asker has shown VFIO groups, but not that of this member, which `vfio_hot` would need. */
bool plan_misses_group(const PlanAsker *asker, const Device *member);

/* The user to whom a VFIO node gives the member: root, who owns every node at first, is none, and nobody is
 * if the driver is not one of those that the groups speak for, or there is none: no look would find out that
 * the node has gone. To be told, as the last look found it. */
bool plan_vfio_user(const Device *member, uint32_t *ret_uid);

/* The next code in a set of Why or Action bits: `*cursor` starts at 0. NULL at the end. */
const char *why_next(unsigned why, unsigned *cursor);
const char *action_next(unsigned actions, unsigned *cursor); /* with the prefix */

/* Everything about a rung that an authorisation was given for, as text: two equal texts mean that the old
 * answer holds. NULL: out of memory. The caller frees it. */
char *rung_fingerprint(const Rung *rung);
