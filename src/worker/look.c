/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Looks at who uses the devices of the set: the last thing that is done before something is written, and
 * done again before each further write.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/way.h"

DEFINE_CLEANUP(WorkerScan *, worker_scan_free);

static bool refuse_use(Reset *reset, const Device *member, const char *why, int error)
{
        static const struct {
                const char *why, *text;
        } texts[] = {
                {WORKER_WHY_DRIVER, "another driver is bound than before"},
                {WORKER_WHY_ENABLED, "the device is in use"},
                {WORKER_WHY_TSM, "the device is assigned to a confidential guest"},
                {WORKER_WHY_SET, "the device has other virtual functions than before"},
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (strcmp(texts[i].why, why) == 0)
                        return reset_end(reset, WORKER_REFUSED, why, error, "%s: %s", member->name,
                                         texts[i].text);
        return reset_end(reset, WORKER_REFUSED, why, error, "%s: cannot find out who uses the device: %s",
                         member->name, strerror(error));
}

bool reset_check_use(Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++) {
                const Device *member = &reset->members[i];
                const char *why;
                int r;

                r = device_check_use(member, reset->request, &why);
                if (r == -ENODEV)
                        return reset_end_gone(reset, member);
                if (r < 0)
                        return refuse_use(reset, member, why, -r);
        }
        return true;
}

/* A look that fails may have met a device that was just being removed, whichever errno that gave. Then
 * nobody has to be told what could not be read. NULL if all are there. */
static const Device *find_gone(const Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++)
                if (device_is_gone(&reset->members[i]))
                        return &reset->members[i];
        return reset->request->has_bridge && device_is_gone(&reset->bridge) ? &reset->bridge : NULL;
}

bool reset_check_use_below_bridge(Reset *reset)
{
        const Device *gone;
        PciAddress stranger;
        char name[PCI_ADDRESS_STRING_MAX];
        int r;

        if (!reset_check_use(reset))
                return false;

        r = device_check_below(&reset->bridge, reset->request, &stranger);
        if (r == -EBUSY)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_SET, -r,
                                 "%s: %s is below the bridge %s too, and was not there before",
                                 reset_target_name(reset), pci_address_format(&stranger, name),
                                 reset->bridge.name);
        gone = r < 0 ? find_gone(reset) : NULL;
        if (gone)
                return reset_end_gone(reset, gone);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -r,
                                 "%s: cannot find out what is below the bridge %s: %s",
                                 reset_target_name(reset), reset->bridge.name, strerror(-r));
        return true;
}

static const char *describe_holder(HolderKind kind)
{
        switch (kind) {
        case HOLDER_ROOT:
                return "the root file system is on it";
        case HOLDER_MOUNT:
                return "a file system of it is mounted";
        case HOLDER_SWAP:
                return "it is used for swap";
        case HOLDER_BLOCK:
                return "a block device of it is claimed";
        case HOLDER_NETWORK:
                return "a network interface of it is up and has addresses";
        case HOLDER_GUEST:
                return "a guest has it";
        case HOLDER_PROCESS:
                return "a process has it open";
        case HOLDER_INTERFACE:
                return "a network interface of it is up";
        case HOLDER_HIDDEN:
                return "its network interface is not to be seen and may be in use in another namespace";
        case HOLDER_VFIO:
                return "a process has its VFIO group or device open";
        }
        return "it is in use";
}

/* Who it is and what he has open stands in `holders`: the message may be shown to those who may not know
 * that. */
static bool refuse_holders(Reset *reset, WorkerScan *scan)
{
        WorkerResult *result = reset->result;
        const Holder *first = &scan->holders[0];
        char name[PCI_ADDRESS_STRING_MAX];

        result->n_holders = scan->n_holders;
        result->holders = steal_pointer(scan->holders);
        scan->n_holders = 0;
        pci_address_format(&first->device, name);
        if (first->pid != 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, "%s: %s", name,
                                 describe_holder(first->kind));
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, "%s: %s (%s)", name,
                         describe_holder(first->kind), first->what);
}

bool reset_check_holders(Reset *reset, bool claim)
{
        const HoldersAllowed allowed = {
                .soft = reset->request->allow_held,
                .vfio = reset->request->n_fds > 0,
        };
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = NULL;
        const Device *gone;

        /* Our own claims would be found. */
        holders_release(&reset->claims);
        if (holders_scan(NULL, reset->request, claim ? &reset->claims : NULL, &scan) < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM, "%s: out of memory",
                                 reset_target_name(reset));
        gone = scan->error != 0 ? find_gone(reset) : NULL;
        if (gone)
                return reset_end_gone(reset, gone);
        if (scan->error != 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, scan->error,
                                 "%s: cannot find out who uses the device: %s", reset_target_name(reset),
                                 scan->message[0] != '\0' ? scan->message : strerror(scan->error));
        if (holders_keep_refusing(scan, &allowed) > 0)
                return refuse_holders(reset, scan);
        return true;
}
