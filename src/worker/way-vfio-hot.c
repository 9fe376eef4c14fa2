/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `vfio_hot`: VFIO_DEVICE_PCI_HOT_RESET, which resets a slot or bus for whoever has all groups of the
 * devices on it (vfio_pci_ioctl_pci_hot_reset in drivers/vfio/pci/vfio_pci_core.c).
 *
 * On an idle set the worker is that one for a moment: it opens all groups, which nobody else can do
 * meanwhile, puts them into a container of its own and opens the target. Opening a device is more than
 * looking: VFIO resets the function if it can, as it does for every user. So it comes after the last look.
 *
 * With descriptors of the groups the caller has shown that it holds them. Its devices may be open, and the
 * reset goes through them as if the caller had asked VFIO itself; the kernel then takes care that no mapping
 * of a guest meets the device while it is reset.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/vfio.h"
#include "worker/way.h"

typedef struct Group {
        char name[VFIO_GROUP_MAX];
        size_t member; /* one of its devices */
        int fd; /* ours if none was presented */
} Group;

typedef struct VfioWay {
        Group *groups;
        size_t n_groups;
        int container_fd;
        int device_fd; /* of the target */
        struct vfio_pci_hot_reset_info *info; /* room for all members */
        struct vfio_pci_hot_reset *argument; /* room for all groups */
} VfioWay;

static bool is_presented(const Reset *reset)
{
        return reset->request->n_fds > 0;
}

static bool allocate(Reset *reset)
{
        VfioWay *state;
        size_t n = reset->n_open;

        if (!reset_allocate_state(reset, sizeof(VfioWay)))
                return false;
        state = reset->state;
        *state = (VfioWay){
                .groups = calloc(n, sizeof(Group)),
                .container_fd = -EBADF,
                .device_fd = -EBADF,
                .info = calloc(1, sizeof(*state->info) + n * sizeof(struct vfio_pci_dependent_device)),
                .argument = calloc(1, sizeof(*state->argument) + n * sizeof(int32_t)),
        };
        return (state->groups && state->info && state->argument) ||
               reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM, "%s: out of memory",
                         reset_target_name(reset));
}

/* Adds the group of a member, which must be bound to a VFIO driver. */
static bool add_group(Reset *reset, size_t i)
{
        const Device *member = &reset->members[i];
        VfioWay *state = reset->state;
        char name[VFIO_GROUP_MAX];
        int r;

        /* The port driver of a bridge is no user. */
        if (device_has_bridge_class(member))
                return true;
        if (!strstr(member->expected->driver, "vfio"))
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0,
                                 "%s: the device is not bound to a VFIO driver", member->name);
        r = attribute_read_link(member->fd, "iommu_group", name, sizeof(name));
        if (r < 0 && device_is_gone(member))
                return reset_end_gone(reset, member);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, -r,
                                 "%s: the device has no IOMMU group: %s", member->name, strerror(-r));

        for (size_t k = 0; k < state->n_groups; k++)
                if (strcmp(state->groups[k].name, name) == 0)
                        return true;
        state->groups[state->n_groups] = (Group){.member = i, .fd = -EBADF};
        memcpy(state->groups[state->n_groups++].name, name, sizeof(name));
        return true;
}

/* The descriptor that was presented for the group. What is no group stands for none. */
static int find_presented(const Reset *reset, const char *name)
{
        for (unsigned i = 0; i < reset->request->n_fds; i++) {
                struct vfio_group_status status = {.argsz = sizeof(status)};
                char group[VFIO_GROUP_MAX];

                if (vfio_group_of(reset->group_fds[i], group) == 0 && strcmp(group, name) == 0 &&
                    vfio_ioctl(reset->group_fds[i], VFIO_GROUP_GET_STATUS, (unsigned long) &status) >= 0)
                        return reset->group_fds[i];
        }
        return -ENOENT;
}

static bool open_groups_of_set(Reset *reset)
{
        VfioWay *state;

        if (!allocate(reset))
                return false;
        state = reset->state;
        for (size_t i = 0; i < reset->n_open; i++)
                if (!add_group(reset, i))
                        return false;
        if (!is_presented(reset))
                return true;

        for (size_t i = 0; i < state->n_groups; i++) {
                Group *group = &state->groups[i];

                group->fd = find_presented(reset, group->name);
                if (group->fd < 0)
                        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0,
                                         "%s: its VFIO group %s is not among the presented ones",
                                         reset->members[group->member].name, group->name);
        }
        return true;
}

static bool refuse_group(Reset *reset, const Group *group, int error)
{
        const Device *member = &reset->members[group->member];

        if (error == EBUSY)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, error,
                                 "%s: its VFIO group %s is in use", member->name, group->name);
        if (error == ENOENT && faccessat(member->fd, "vfio-dev", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return reset_end(
                        reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, error,
                        "%s: this kernel offers the device by a VFIO node of its own and not by its "
                        "group %s, which %s needs",
                        member->name, group->name, RESET_METHOD_VFIO_HOT);
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, error,
                         "%s: its VFIO group %s cannot be used: %s", member->name, group->name,
                         strerror(error));
}

/* Opens the groups and puts them into a container, whose kind can be chosen once it has one. */
static bool take_groups(Reset *reset)
{
        VfioWay *state = reset->state;
        int r;

        state->container_fd = vfio_open(VFIO_CONTAINER_NODE);
        if (state->container_fd < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NOT_VFIO, -state->container_fd,
                                 "%s: %s cannot be opened: %s", reset_target_name(reset),
                                 VFIO_CONTAINER_NODE, strerror(-state->container_fd));

        for (size_t i = 0; i < state->n_groups; i++) {
                Group *group = &state->groups[i];
                char node[sizeof("/dev/vfio/") + VFIO_GROUP_MAX];

                (void) snprintf(node, sizeof(node), "/dev/vfio/%s", group->name);
                r = vfio_open(node);
                if (r >= 0) {
                        group->fd = r;
                        r = vfio_ioctl(group->fd, VFIO_GROUP_SET_CONTAINER,
                                       (unsigned long) &state->container_fd);
                }
                if (r >= 0 && i == 0)
                        r = vfio_ioctl(state->container_fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU);
                if (r < 0)
                        return refuse_group(reset, group, -r);
        }
        return true;
}

static const Group *group_of_target(const VfioWay *state)
{
        return &state->groups[0];
}

static int open_target(Reset *reset)
{
        VfioWay *state = reset->state;
        int r;

        r = vfio_ioctl(group_of_target(state)->fd, VFIO_GROUP_GET_DEVICE_FD,
                       (unsigned long) reset_target_name(reset));
        if (r >= 0)
                state->device_fd = r;
        return r;
}

static bool is_of_set(const Reset *reset, const struct vfio_pci_dependent_device *device)
{
        for (size_t i = 0; i < reset->n_open; i++) {
                const PciAddress *address = &reset->members[i].expected->address;

                if (address->domain == device->segment && address->bus == device->bus &&
                    address->device == device->devfn >> 3 && address->function == (device->devfn & 7))
                        return true;
        }
        return false;
}

/* Asks the kernel which devices the reset is of: exactly those that were authorised. The first call tells
 * only how many, unless there are none. */
static bool compare_set(Reset *reset)
{
        VfioWay *state = reset->state;
        struct vfio_pci_hot_reset_info *info = state->info;
        int r;

        info->argsz = sizeof(*info);
        r = vfio_ioctl(state->device_fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, (unsigned long) info);
        if (r == -ENOSPC && info->count == reset->n_open) {
                info->argsz = (uint32_t) (sizeof(*info) + reset->n_open * sizeof(info->devices[0]));
                r = vfio_ioctl(state->device_fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, (unsigned long) info);
        }
        if (r < 0 && r != -ENOSPC)
                return reset_end(reset, WORKER_REFUSED,
                                 r == -ENODEV ? WORKER_WHY_UNSUPPORTED : WORKER_WHY_SET, -r,
                                 "%s: the kernel does not say which devices %s is of: %s",
                                 reset_target_name(reset), RESET_METHOD_VFIO_HOT, strerror(-r));

        if (r < 0 || info->count != reset->n_open)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_SET, 0,
                                 "%s: %s is of %u devices for the kernel, and %zu were expected",
                                 reset_target_name(reset), RESET_METHOD_VFIO_HOT, info->count,
                                 reset->n_open);
        for (size_t i = 0; i < reset->n_open; i++)
                if (!is_of_set(reset, &info->devices[i]))
                        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_SET, 0,
                                         "%s: %s would reset %04x:%02x:%02x.%x too",
                                         reset_target_name(reset), RESET_METHOD_VFIO_HOT,
                                         info->devices[i].segment, info->devices[i].bus,
                                         info->devices[i].devfn >> 3, info->devices[i].devfn & 7U);
        return true;
}

static bool begin(Reset *reset)
{
        VfioWay *state = reset->state;
        int r;

        if (!is_presented(reset) && !take_groups(reset))
                return false;
        if (!reset_retry(reset, open_target, NULL, &r))
                return false;
        if (r == -EAGAIN)
                return reset_end_locked(reset);
        if (r < 0)
                return refuse_group(reset, group_of_target(state), -r);
        if (!compare_set(reset))
                return false;

        state->argument->argsz = (uint32_t) (sizeof(*state->argument) +
                                             state->n_groups * sizeof(state->argument->group_fds[0]));
        state->argument->count = (uint32_t) state->n_groups;
        for (size_t i = 0; i < state->n_groups; i++)
                state->argument->group_fds[i] = state->groups[i].fd;
        return true;
}

static int write_reset(Reset *reset)
{
        VfioWay *state = reset->state;
        int r = vfio_ioctl(state->device_fd, VFIO_DEVICE_PCI_HOT_RESET, (unsigned long) state->argument);

        return r < 0 ? r : 0;
}

/* Nobody else could come between: the groups are ours, or the caller's. */
static bool again(Reset *reset)
{
        (void) reset;
        return true;
}

/* As it was before: with the last descriptor VFIO puts the device back into the state in which it was before
 * it was opened. What was presented stays open elsewhere. */
static void let_go(Reset *reset)
{
        VfioWay *state = reset->state;

        cleanup_close(&state->device_fd);
        state->device_fd = -EBADF;
        for (size_t i = 0; !is_presented(reset) && i < state->n_groups; i++) {
                cleanup_close(&state->groups[i].fd);
                state->groups[i].fd = -EBADF;
        }
        cleanup_close(&state->container_fd);
        state->container_fd = -EBADF;
}

static void done(Reset *reset)
{
        VfioWay *state = reset->state;

        if (state->groups)
                let_go(reset);
        free(state->groups);
        free(state->info);
        free(state->argument);
}

const Way way_vfio_hot = {
        .open = open_groups_of_set,
        .begin = begin,
        .write = write_reset,
        .again = again,
        .follow = let_go,
        .put_back = let_go,
        .done = done,
};
