/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/holders.h"

#include <string.h>

#include "daemon/bus/message.h"
#include "daemon/bus/path.h"
#include "daemon/domain/plan.h"

/* A text with hundreds of holders helps nobody: the machine-readable list has them all. */
#define PRINTED_MAX 8U

static bool is_visible(const Holder *holder, uint32_t viewer_uid)
{
        return holder->pid == 0 || viewer_uid == 0 || holder->uid == viewer_uid;
}

/* True if both are hidden from the viewer and told as one. */
static bool is_like(const Holder *a, const Holder *b, uint32_t viewer_uid)
{
        return a->kind == b->kind && pci_address_equal(&a->device, &b->device) &&
               !is_visible(a, viewer_uid) && !is_visible(b, viewer_uid);
}

/* How many hidden ones the index-th stands for; 0 if an earlier one stands for it. Those of one device are
 * together. */
static uint32_t count_like(const Holder *holders, size_t n, size_t index, uint32_t viewer_uid)
{
        const Holder *holder = &holders[index];
        uint32_t count = 0;

        for (size_t i = index; i > 0 && pci_address_equal(&holders[i - 1].device, &holder->device); i--)
                if (is_like(&holders[i - 1], holder, viewer_uid))
                        return 0;
        for (size_t i = index; i < n && pci_address_equal(&holders[i].device, &holder->device); i++)
                count += is_like(&holders[i], holder, viewer_uid);
        return count;
}

static int append_process(sd_bus_message *message, const Holder *holder)
{
        int r = append_entry(message, "pid", "u", holder->pid);

        if (r >= 0)
                r = append_entry(message, "uid", "u", holder->uid);
        if (r >= 0)
                r = append_entry(message, "command", "s", holder->command);
        return r < 0 ? r : append_entry(message, "unit", "s", holder->unit);
}

/* `count`: 0 for a visible holder. */
static int append_holder(sd_bus_message *message, const Holder *holder, uint32_t count)
{
        char path[OBJECT_PATH_MAX];
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "device", "o", device_path(&holder->device, path));
        if (r >= 0)
                r = append_entry(message, "kind", "s", holder_kind_to_string(holder->kind));
        if (r >= 0)
                r = append_entry(message, "hard", "b", (int) holder_kind_is_hard(holder->kind));
        if (r >= 0 && count > 0)
                r = append_entry(message, "count", "u", count);
        if (r >= 0 && count == 0)
                r = append_entry(message, "what", "s", holder->what);
        if (r >= 0 && count == 0 && holder->pid != 0)
                r = append_process(message, holder);
        if (r >= 0 && holder->truncated)
                r = append_entry(message, "truncated", "b", 1);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_holders(sd_bus_message *message, const Holder *holders, size_t n, uint32_t viewer_uid)
{
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                uint32_t count;

                if (is_visible(&holders[i], viewer_uid)) {
                        r = append_holder(message, &holders[i], 0);
                        continue;
                }
                count = count_like(holders, n, i, viewer_uid);
                if (count > 0)
                        r = append_holder(message, &holders[i], count);
        }
        return r;
}

/* The words around what holds the device. */
static const struct {
        const char *before, *after;
} words[] = {
        [HOLDER_ROOT] = {"", " carries the root file system"},
        [HOLDER_MOUNT] = {"", " is mounted"},
        [HOLDER_SWAP] = {"", " is swap space"},
        [HOLDER_BLOCK] = {"", " is claimed by another program or mounted elsewhere"},
        [HOLDER_NETWORK] = {"network interface ", " is up and has addresses"},
        [HOLDER_GUEST] = {"guest ", " has it"},
        [HOLDER_PROCESS] = {"", " is open"},
        [HOLDER_INTERFACE] = {"network interface ", " is up"},
        [HOLDER_HIDDEN] = {"driver ", " is bound and its network interface may be in a container"},
        [HOLDER_VFIO] = {"VFIO user ", " has it open"},
};

/* The others of a process's are in a namespace of its own. */
static bool is_open(const Holder *holder)
{
        return holder->kind == HOLDER_PROCESS || holder->kind == HOLDER_VFIO;
}

static void print_visible(FILE *f, const Holder *holder)
{
        const char *comma = holder->unit[0] ? ", " : "";

        if (holder->pid == 0 || !is_open(holder))
                fprintf(f, "%s%s%s", words[holder->kind].before, holder->what, words[holder->kind].after);
        if (holder->pid == 0)
                return;
        fprintf(f, "%sprocess %u (%s, uid %u%s%s)", is_open(holder) ? "" : ", in the namespace of ",
                holder->pid, holder->command, holder->uid, comma, holder->unit);
        if (is_open(holder))
                fprintf(f, " has %s open", holder->what);
}

static void print_hidden(FILE *f, const Holder *holder, uint32_t count)
{
        bool is_one = count == 1;

        fprintf(f, "%s%u process%s of others %s it ", holder->truncated ? "at least " : "", count,
                is_one ? "" : "es", is_one ? "has" : "have");
        if (is_open(holder))
                fprintf(f, "open%s", holder->kind == HOLDER_VFIO ? " through VFIO" : "");
        else
                fputs(is_one ? "in a namespace of its own" : "in namespaces of their own", f);
}

void print_holders(FILE *f, const Holder *holders, size_t n, uint32_t viewer_uid, const PciAddress *target)
{
        char address[PCI_ADDRESS_STRING_MAX];
        unsigned n_printed = 0, n_left_out = 0;
        bool truncated = false;

        for (size_t i = 0; i < n; i++) {
                bool visible = is_visible(&holders[i], viewer_uid);
                uint32_t count = visible ? 1 : count_like(holders, n, i, viewer_uid);

                if (count == 0)
                        continue;
                if (n_printed == PRINTED_MAX) {
                        n_left_out += count;
                        truncated |= holders[i].truncated;
                        continue;
                }
                if (n_printed++ > 0)
                        fputs("; ", f);
                if (!pci_address_equal(&holders[i].device, target))
                        fprintf(f, "of %s: ", pci_address_format(&holders[i].device, address));
                if (visible)
                        print_visible(f, &holders[i]);
                else
                        print_hidden(f, &holders[i], count);
        }
        if (n_left_out > 0)
                fprintf(f, "; and %s%u more", truncated ? "at least " : "", n_left_out);
}

/* The guest that has the device, NULL: none, or nobody can tell which. */
static const char *find_guest(const Device *device)
{
        for (size_t i = 0; i < device->use.n_holders; i++) {
                const Holder *holder = &device->use.holders[i];

                if (holder->kind == HOLDER_GUEST && strcmp(holder->what, HOLDER_GUEST_UNKNOWN) != 0)
                        return holder->what;
        }
        return NULL;
}

/* No user's and no group's name has a colon, so nobody can call a guest like somebody whom a rule of
 * polkit's trusts. */
const char *device_owner(const Device *device, char buffer[static OWNER_TEXT_MAX])
{
        const char *guest = find_guest(device);
        uint32_t uid;

        if (device->owner[0] != '\0')
                (void) snprintf(buffer, OWNER_TEXT_MAX, "%s", device->owner);
        else if (device->lease)
                (void) snprintf(buffer, OWNER_TEXT_MAX, "uid:%u", device->lease->record.uid);
        else if (guest)
                (void) snprintf(buffer, OWNER_TEXT_MAX, "domain:%s", guest);
        else if (plan_vfio_user(device, &uid))
                (void) snprintf(buffer, OWNER_TEXT_MAX, "uid:%u", uid);
        else
                buffer[0] = '\0';
        return buffer;
}

static int append_lease(sd_bus_message *message, const ClaimRecord *lease)
{
        int r = append_entry(message, "lease", "s", lease->id);

        if (r >= 0)
                r = append_entry(message, "uid", "u", lease->uid);
        return r < 0 ? r : append_entry(message, "who", "s", lease->who);
}

int append_owner(sd_bus_message *message, const Device *member)
{
        char path[OBJECT_PATH_MAX], owner[OWNER_TEXT_MAX];
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "device", "o", device_path(&member->facts.address, path));
        if (r >= 0)
                r = append_entry(message, "owner", "s", device_owner(member, owner));
        if (r >= 0 && member->lease)
                r = append_lease(message, &member->lease->record);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_devices(sd_bus_message *message, const ClaimRecord *record)
{
        char address[PCI_ADDRESS_STRING_MAX];
        int r = open_array_entry(message, "devices", "s");

        for (size_t i = 0; i < record->n_devices && r >= 0; i++)
                r = sd_bus_message_append(message, "s",
                                          pci_address_format(&record->devices[i].address, address));
        return r < 0 ? r : close_array_entry(message);
}

int append_claim(sd_bus_message *message, const ClaimRecord *record)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "id", "s", record->id);
        if (r >= 0)
                r = append_entry(message, "uid", "u", record->uid);
        if (r >= 0)
                r = append_entry(message, "who", "s", record->who);
        if (r >= 0)
                r = append_entry(message, "why", "s", record->why);
        if (r >= 0)
                r = append_entry(message, "since", "t", record->since);
        if (r >= 0)
                r = append_devices(message, record);
        if (r >= 0 && record->kind != CLAIM_LEASE)
                r = append_entry(message, "mode", "s",
                                 record->kind == CLAIM_INHIBIT_BLOCK ? "block" : "delay");
        return r < 0 ? r : sd_bus_message_close_container(message);
}
