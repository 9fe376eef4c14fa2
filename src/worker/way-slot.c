/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `slot`: the power of a hotplug slot off and on (power_write_file in
 * drivers/pci/hotplug/pci_hotplug_core.c). The kernel removes the devices before and finds them again after.
 *
 * pciehp does so whether the slot has a power controller or not (remove_board in
 * drivers/pci/hotplug/pciehp_ctrl.c). Without one nothing is switched: a device that was found again would
 * be taken for one that was reset.
 *
 * The kernel's parser takes any text that is no number for 0, so nothing but the two constants below is ever
 * written.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/clock.h"
#include "worker/come-back.h"
#include "worker/config-space.h"
#include "worker/way.h"

#define POWER_OFF "0"
#define POWER_ON  "1"

/* A slot that stays off is worse than one that takes its time. */
#define ON_AGAIN_USEC (5 * USEC_PER_SEC)
#define ON_STEP_USEC  (100 * USEC_PER_MSEC)

typedef struct SlotWay {
        int power_fds[2]; /* a write each */
        bool is_on_again;
        ComeBack *come_back;
} SlotWay;

DEFINE_CLEANUP(ComeBack *, come_back_free);

/* `dddd:bb:dd`, or `dddd:bb` for a slot that is all of its bus (address_read_file in drivers/pci/slot.c). */
static bool slot_is_of(const char *text, const PciAddress *address)
{
        char device[32], bus[32];

        (void) snprintf(bus, sizeof(bus), "%04x:%02x", address->domain, address->bus);
        (void) snprintf(device, sizeof(device), "%s:%02x", bus, address->device);
        return strcmp(text, device) == 0 || strcmp(text, bus) == 0;
}

static bool check_slot(Reset *reset, int slot_fd)
{
        const char *slot = reset->request->slot;
        char text[32];
        ssize_t n;

        n = attribute_read(slot_fd, "address", text, sizeof(text));
        if (n < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NO_SLOT, (int) -n,
                                 "%s: the address of slot %s cannot be read: %s", reset_target_name(reset),
                                 slot, strerror((int) -n));
        if (!slot_is_of(text, &reset->request->members[0].address) ||
            !device_is_directly_below(&reset->members[0], &reset->bridge))
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NO_SLOT, 0,
                                 "%s: slot %s is at %s and not the one of this device",
                                 reset_target_name(reset), slot, text);
        return true;
}

/* PCI Express Base Specification, Slot Capabilities Register: Power Controller Present. */
static bool check_power_controller(Reset *reset)
{
        const Device *port = &reset->bridge;
        _cleanup_close_ int fd = -EBADF;
        ConfigSpace config;
        size_t express;
        int r;

        if (!device_is_hotplug_port(port))
                return true;
        fd = openat(port->fd, "config", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : config_space_begin(&config, fd);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -r,
                                 "%s: whether slot %s can be switched cannot be read from %s: %s",
                                 reset_target_name(reset), reset->request->slot, port->name, strerror(-r));
        express = config_space_find_capability(&config, PCI_CAP_ID_EXP);
        if (express != 0 && config_space_get32(&config, express + PCI_EXP_SLTCAP) & PCI_EXP_SLTCAP_PCP &&
            config.error == 0)
                return true;
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NO_SLOT, 0,
                         "%s: slot %s has no power controller, so the device would go and come back without "
                         "having been reset",
                         reset_target_name(reset), reset->request->slot);
}

static bool open_slot(Reset *reset)
{
        char path[WORKER_SLOT_MAX + sizeof("../slots/")];
        const char *slot = reset->request->slot;
        _cleanup_close_ int slot_fd = -EBADF;
        SlotWay *state;

        if (!reset->request->has_bridge)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: there is no bridge above it", reset_target_name(reset));
        if (!reset_allocate_state(reset, sizeof(SlotWay)))
                return false;
        state = reset->state;
        *state = (SlotWay){.power_fds = {-EBADF, -EBADF}};

        (void) snprintf(path, sizeof(path), "../slots/%s", slot);
        slot_fd = openat(reset->devices_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (slot_fd < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_NO_SLOT, errno,
                                 "%s: slot %s cannot be opened: %s", reset_target_name(reset), slot,
                                 strerror(errno));
        if (!check_slot(reset, slot_fd) || !check_power_controller(reset))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(state->power_fds); i++) {
                state->power_fds[i] = attribute_open_for_write(slot_fd, "power");
                if (state->power_fds[i] < 0)
                        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->power_fds[i],
                                         "%s: the power of slot %s cannot be switched: %s",
                                         reset_target_name(reset), slot, strerror(-state->power_fds[i]));
        }
        return reset_check_use_below_bridge(reset) && come_back_prepare(reset, &state->come_back);
}

static int switch_on(const Reset *reset)
{
        const SlotWay *state = reset->state;
        uint64_t limit = come_back_times.device_usec < ON_AGAIN_USEC ? come_back_times.device_usec
                                                                     : ON_AGAIN_USEC;
        uint64_t deadline = now_usec() + limit;
        int r;

        while ((r = attribute_write(state->power_fds[1], POWER_ON)) < 0 && now_usec() < deadline) {
                sleep_usec(ON_STEP_USEC);
                /* Somebody else has, with the button of the slot. */
                if (faccessat(reset->devices_fd, reset_target_name(reset), F_OK, 0) == 0)
                        return 0;
        }
        return r;
}

static int write_power(Reset *reset)
{
        SlotWay *state = reset->state;
        int r, on;

        r = attribute_write(state->power_fds[0], POWER_OFF);
        /* An error may have come after the devices were gone. */
        if (r < 0 && !come_back_is_removed(reset))
                return r;

        on = switch_on(reset);
        state->is_on_again = on >= 0;
        return r < 0 ? r : on;
}

static void follow(Reset *reset)
{
        SlotWay *state = reset->state;

        if (come_back_is_removed(reset))
                come_back_follow(reset, state->come_back, state->is_on_again);
        else if (reset->result->outcome == WORKER_DONE)
                (void) reset_end(reset, WORKER_FAILED, "", EIO,
                                 "%s: slot %s was switched off and on and the device never left it",
                                 reset_target_name(reset), reset->request->slot);
}

/* Whether the slot is that of the request's target and has no power. */
static bool is_left_off(const Reset *reset, int slot_fd)
{
        char text[32];

        return attribute_read(slot_fd, "address", text, sizeof(text)) >= 0 &&
               slot_is_of(text, &reset->request->members[0].address) &&
               attribute_read(slot_fd, "power", text, sizeof(text)) >= 0 && strcmp(text, POWER_OFF) == 0;
}

/* A slot that was switched off is switched on again. */
static void bring_back(Reset *reset)
{
        char path[WORKER_SLOT_MAX + sizeof("../slots/")];
        SlotWay state = {.power_fds = {-EBADF, -EBADF}};
        _cleanup_close_ int slot_fd = -EBADF;

        (void) snprintf(path, sizeof(path), "../slots/%s", reset->request->slot);
        slot_fd = openat(reset->devices_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (slot_fd < 0 || !is_left_off(reset, slot_fd))
                return;
        state.power_fds[1] = attribute_open_for_write(slot_fd, "power");
        if (state.power_fds[1] < 0)
                return;
        reset->state = &state;
        (void) switch_on(reset);
        reset->state = NULL;
        cleanup_close(&state.power_fds[1]);
}

static void done(Reset *reset)
{
        SlotWay *state = reset->state;

        for (size_t i = 0; i < ELEMENTSOF(state->power_fds); i++)
                cleanup_close(&state->power_fds[i]);
        cleanup_come_back_free(&state->come_back);
}

const Way way_slot = {
        .open = open_slot,
        .begin = reset_check_use_below_bridge,
        .write = write_power,
        .follow = follow,
        .bring_back = bring_back,
        .done = done,
        .removes_devices = true,
};
