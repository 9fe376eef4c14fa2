/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each device keeps a pointer to its quarantine, so that a plan needs the devices alone. There are few, and
 * most machines never have one: a list does.
 */

#include "daemon/domain/quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/claims.h"
#include "shared/cleanup.h"

struct Quarantines {
        Registry *registry;
        QuarantineListener listener;
        char boot_id[QUARANTINE_BOOT_MAX];
        uint64_t last_id;
        Quarantine *list;
};

const char *const quarantine_cause_names[QUARANTINE_CAUSES] = {
        [QUARANTINE_DEAD] = "dead",           [QUARANTINE_DEGRADED] = "degraded",
        [QUARANTINE_REQUESTED] = "requested", [QUARANTINE_UNREADABLE] = "unreadable",
        [QUARANTINE_ERROR] = "error",         [QUARANTINE_UNCLEAN] = "unclean",
};

const char *quarantine_cause_to_string(QuarantineCause cause)
{
        return quarantine_cause_names[cause];
}

int quarantines_new(Registry *registry, Quarantines **ret)
{
        Quarantines *quarantines = calloc(1, sizeof(Quarantines));

        if (!quarantines)
                return -ENOMEM;
        quarantines->registry = registry;
        *ret = quarantines;
        return 0;
}

Quarantines *quarantines_free(Quarantines *quarantines)
{
        Quarantine *quarantine, *next;

        if (!quarantines)
                return NULL;
        DL_FOREACH_SAFE (quarantines->list, quarantine, next)
                free(quarantine);
        free(quarantines);
        return NULL;
}

void quarantines_set_listener(Quarantines *quarantines, const QuarantineListener *listener)
{
        quarantines->listener = listener ? *listener : (QuarantineListener){};
}

const Quarantine *quarantines_next(const Quarantines *quarantines, const Quarantine *quarantine)
{
        return quarantine ? quarantine->next : quarantines->list;
}

uint64_t quarantine_id(const Device *device)
{
        return device->quarantine ? device->quarantine->id : 0;
}

static void tell(const Quarantines *quarantines, const QuarantineRecord *record, QuarantineEvent event)
{
        if (quarantines->listener.event)
                quarantines->listener.event(quarantines->listener.userdata, record, event);
}

/* ---- which device? ---- */

/* From the root down, which recursion does for us: bridges nest no deeper than there are bus numbers.
 * Returns the length, 0 if the way up is not known. */
static size_t print_port(const Device *device, char *port, size_t size)
{
        const PciAddress *address = &device->facts.address;
        char whole[PCI_ADDRESS_STRING_MAX];
        size_t length = 0;

        if (!device->facts.has_parent)
                return (size_t) snprintf(port, size, "%s", pci_address_format(address, whole));
        if (device->parent)
                length = print_port(device->parent, port, size);
        if (length == 0 || length >= size)
                return 0;
        return length + (size_t) snprintf(port + length, size - length, "/%02x.%x", address->device,
                                          address->function);
}

static unsigned routing_id(const PciAddress *address)
{
        return (unsigned) (pci_address_key(address) & 0xffffU);
}

const char *quarantine_port(const Device *device, char port[static QUARANTINE_PORT_MAX])
{
        const Device *physfn = device->facts.has_physfn ? device->physfn : device;
        size_t length = physfn ? print_port(physfn, port, QUARANTINE_PORT_MAX) : 0;

        if (length > 0 && length < QUARANTINE_PORT_MAX && physfn != device)
                length += (size_t) snprintf(port + length, QUARANTINE_PORT_MAX - length, "+0x%x",
                                            routing_id(&device->facts.address) -
                                                    routing_id(&physfn->facts.address));
        if (length >= QUARANTINE_PORT_MAX)
                length = 0;
        port[length] = '\0';
        return port;
}

static bool has_ids(const ClaimDevice *named, const Device *device)
{
        const DeviceFacts *facts = &device->facts;

        return named->vendor == facts->vendor && named->device == facts->device &&
               named->subsystem_vendor == facts->subsystem_vendor &&
               named->subsystem_device == facts->subsystem_device;
}

static bool may_be_same_card(const char *serial, const char *other)
{
        return serial[0] == '\0' || other[0] == '\0' || strcmp(serial, other) == 0;
}

/* Where the way to the root is not known on both sides, the address has to do. */
static bool is_about(const QuarantineRecord *record, const Device *device)
{
        char port[QUARANTINE_PORT_MAX];

        if (!has_ids(&record->device, device) || !may_be_same_card(record->serial, device->serial))
                return false;
        quarantine_port(device, port);
        if (port[0] != '\0' && record->port[0] != '\0')
                return strcmp(port, record->port) == 0;
        return pci_address_equal(&record->device.address, &device->facts.address);
}

static Device *find_device(const Quarantines *quarantines, const QuarantineRecord *record)
{
        for (Device *d = registry_next(quarantines->registry, NULL); d;
             d = registry_next(quarantines->registry, d))
                if (is_about(record, d))
                        return d;
        return NULL;
}

/* By whatever it was that it came in. */
static Device *find_inmate(const Quarantines *quarantines, const Quarantine *quarantine)
{
        for (Device *d = registry_next(quarantines->registry, NULL); d;
             d = registry_next(quarantines->registry, d))
                if (d->quarantine == quarantine)
                        return d;
        return NULL;
}

static bool is_same(const QuarantineRecord *a, const QuarantineRecord *b)
{
        return strcmp(a->port, b->port) == 0 &&
               (a->port[0] != '\0' || pci_address_equal(&a->device.address, &b->device.address)) &&
               a->device.vendor == b->device.vendor && a->device.device == b->device.device &&
               a->device.subsystem_vendor == b->device.subsystem_vendor &&
               a->device.subsystem_device == b->device.subsystem_device &&
               may_be_same_card(a->serial, b->serial);
}

static void name_device(const Device *device, QuarantineRecord *record)
{
        quarantine_port(device, record->port);
        record->device = claim_device(device);
}

/* ---- in and out ---- */

static void notify(Quarantines *quarantines, Device *device)
{
        registry_notify(quarantines->registry, device, DEVICE_CHANGED_QUARANTINE | DEVICE_CHANGED_STATE);
}

static void quarantine_free(Quarantines *quarantines, Quarantine *quarantine)
{
        DL_DELETE(quarantines->list, quarantine);
        free(quarantine);
}

/* Cards that were put right elsewhere never come back to say so. */
static void make_room(Quarantines *quarantines)
{
        Quarantine *quarantine, *oldest = NULL;
        size_t n_absent = 0;

        DL_FOREACH (quarantines->list, quarantine) {
                if (find_inmate(quarantines, quarantine) || find_device(quarantines, &quarantine->record))
                        continue;
                n_absent++;
                if (!oldest)
                        oldest = quarantine;
        }
        if (n_absent < QUARANTINES_ABSENT_MAX)
                return;
        tell(quarantines, &oldest->record, QUARANTINE_DROPPED);
        quarantine_free(quarantines, oldest);
}

static int add(Quarantines *quarantines, const QuarantineRecord *record, Quarantine **ret)
{
        Quarantine *quarantine = calloc(1, sizeof(Quarantine));

        if (!quarantine)
                return -ENOMEM;
        make_room(quarantines);
        quarantine->record = *record;
        quarantine->id = ++quarantines->last_id;
        DL_APPEND(quarantines->list, quarantine);
        *ret = quarantine;
        return 0;
}

int quarantines_restore(Quarantines *quarantines, const QuarantineRecord *record)
{
        Quarantine *quarantine;
        Device *device;
        int r;

        DL_FOREACH (quarantines->list, quarantine) {
                if (!is_same(&quarantine->record, record))
                        continue;
                /* A crash has left the file of the time before its number was known. */
                if (quarantine->record.serial[0] == '\0')
                        quarantine->record = *record;
                return -EEXIST;
        }
        r = add(quarantines, record, &quarantine);
        if (r < 0)
                return r;
        device = find_device(quarantines, record);
        if (device)
                quarantines_device_added(quarantines, device);
        return 0;
}

/* ---- pinned ---- */

bool quarantine_is_pinned(const Device *device)
{
        return device->quarantine && device->quarantine->pinned == device->generation;
}

/* Returns false if that is as it was. */
static bool pin(const Quarantines *quarantines, Quarantine *quarantine, const Device *device)
{
        if (quarantine->pinned == device->generation)
                return false;
        quarantine->pinned = device->generation;
        quarantine->record.inode = device->facts.inode;
        memcpy(quarantine->record.boot_id, quarantines->boot_id, sizeof(quarantines->boot_id));
        return true;
}

void quarantines_pin(Quarantines *quarantines, const char *boot_id)
{
        Quarantine *quarantine;

        (void) snprintf(quarantines->boot_id, sizeof(quarantines->boot_id), "%s", boot_id);
        DL_FOREACH (quarantines->list, quarantine) {
                const Device *device = find_inmate(quarantines, quarantine);
                QuarantineRecord *record = &quarantine->record;

                if (strcmp(record->boot_id, boot_id) == 0) {
                        if (device && device->facts.inode == record->inode)
                                quarantine->pinned = device->generation;
                        continue;
                }
                memcpy(record->boot_id, quarantines->boot_id, sizeof(record->boot_id));
                record->inode = 0;
                if (device)
                        (void) pin(quarantines, quarantine, device);
                /* A damaged file stays as it is, for whoever looks at it. */
                if (record->cause != QUARANTINE_UNREADABLE)
                        tell(quarantines, record, QUARANTINE_PINNED);
        }
}

/* By hand nothing was found, and of a damaged record nothing is known. */
static bool has_found_something(const QuarantineRecord *record)
{
        return record->cause != QUARANTINE_REQUESTED && record->cause != QUARANTINE_UNREADABLE;
}

static bool is_worse(const QuarantineRecord *old, const QuarantineRecord *new)
{
        if (new->cause == QUARANTINE_ERROR)
                return old->cause == QUARANTINE_ERROR && strcmp(old->reason, new->reason) != 0;
        return new->cause == QUARANTINE_DEAD && old->cause != QUARANTINE_DEAD &&
               old->cause != QUARANTINE_REQUESTED;
}

static int make_worse(Quarantines *quarantines, Device *device, const QuarantineRecord *record, uint32_t job)
{
        Quarantine *quarantine = device->quarantine;
        /* There is something against this very device, whatever the first one was. */
        bool is_new = pin(quarantines, quarantine, device);
        const QuarantineRecord old = quarantine->record;

        if (!is_worse(&old, record)) {
                if (is_new)
                        tell(quarantines, &quarantine->record, QUARANTINE_PINNED);
                return -EEXIST;
        }
        quarantine->record = *record;
        quarantine->record.since = old.since;
        name_device(device, &quarantine->record);
        /* Under this name it is kept. */
        memcpy(quarantine->record.serial, old.serial, sizeof(old.serial));
        memcpy(quarantine->record.boot_id, old.boot_id, sizeof(old.boot_id));
        quarantine->record.inode = old.inode;
        if (quarantine->record.driver[0] == '\0')
                memcpy(quarantine->record.driver, old.driver, sizeof(old.driver));
        quarantine->wants_lines = true;
        /* Whoever was authorised for the first job was not for what this one has found. */
        if (quarantine->job != job)
                quarantine->job = 0;
        tell(quarantines, &quarantine->record, QUARANTINE_CHANGED);
        notify(quarantines, device);
        return 0;
}

int quarantines_begin(Quarantines *quarantines, Device *device, const QuarantineRecord *record, uint32_t job)
{
        QuarantineRecord named = *record;
        Quarantine *quarantine;
        int r;

        if (device->quarantine)
                return make_worse(quarantines, device, record, job);
        name_device(device, &named);
        memcpy(named.serial, device->serial, sizeof(named.serial));
        r = add(quarantines, &named, &quarantine);
        if (r < 0)
                return r;
        quarantine->job = job;
        quarantine->generation = device->generation;
        (void) pin(quarantines, quarantine, device);
        device->quarantine = quarantine;
        device->hold.looked = false;
        quarantine->wants_lines = has_found_something(&named);
        tell(quarantines, &quarantine->record, QUARANTINE_BEGUN);
        notify(quarantines, device);
        return 0;
}

static void add_reason(Quarantines *quarantines, Device *device, const char *reason)
{
        QuarantineRecord *record = &device->quarantine->record;
        size_t used, added = strlen("; ") + strlen(reason);

        if (strstr(record->reason, reason))
                return;
        /* What was said before makes room. */
        used = strlen(record->reason);
        if (used + added >= sizeof(record->reason))
                used = sizeof(record->reason) - added - 1;
        (void) snprintf(record->reason + used, sizeof(record->reason) - used, "; %s", reason);
        tell(quarantines, record, QUARANTINE_CHANGED);
        notify(quarantines, device);
}

int quarantines_add_reason(Quarantines *quarantines, Device *device, const char *reason)
{
        const Quarantine *quarantine = device->quarantine;

        if (!quarantine || !has_found_something(&quarantine->record))
                return -ENOENT;
        add_reason(quarantines, device, reason);
        return 0;
}

Device *quarantines_take_silent(Quarantines *quarantines)
{
        Quarantine *quarantine;

        DL_FOREACH (quarantines->list, quarantine) {
                Device *device = quarantine->wants_lines ? find_inmate(quarantines, quarantine) : NULL;

                quarantine->wants_lines = false;
                if (device)
                        return device;
        }
        return NULL;
}

/* Whatever else a worker may say is none. */
static bool is_line_about(const WorkerCheck *check, const Device *device)
{
        return strcmp(check->check, WORKER_LOG_CHECK) == 0 && check->result == CHECK_SKIPPED &&
               pci_address_equal(&check->device, &device->facts.address);
}

int quarantines_add_lines(Quarantines *quarantines, Device *device, const WorkerResult *result)
{
        QuarantineRecord *record = device->quarantine ? &device->quarantine->record : NULL;
        const WorkerCheck *lines[WORKER_LOG_LINES_MAX];
        size_t n = 0, n_lines = 0;

        for (size_t i = 0; i < result->n_checks && n_lines < WORKER_LOG_LINES_MAX; i++)
                if (is_line_about(&result->checks[i], device))
                        lines[n_lines++] = &result->checks[i];
        if (!record || !has_found_something(record) || n_lines == 0)
                return -ENOENT;
        for (size_t i = 0; i < record->n_checks; i++)
                if (strcmp(record->checks[i].check, WORKER_LOG_CHECK) != 0)
                        record->checks[n++] = record->checks[i];
        record->n_checks = n;
        while (record->n_checks + n_lines > QUARANTINE_CHECKS_MAX &&
               record->checks[record->n_checks - 1].result != CHECK_FAILED)
                record->n_checks--;
        for (size_t i = 0; i < n_lines && record->n_checks < QUARANTINE_CHECKS_MAX; i++)
                record->checks[record->n_checks++] = *lines[i];
        tell(quarantines, record, QUARANTINE_EVIDENCE);
        return 0;
}

int quarantines_end(Quarantines *quarantines, Device *device, QuarantineEvent event)
{
        Quarantine *quarantine = device->quarantine;

        if (!quarantine)
                return -ENOENT;
        device->quarantine = NULL;
        tell(quarantines, &quarantine->record, event);
        quarantine_free(quarantines, quarantine);
        notify(quarantines, device);
        return 0;
}

/* One that is meant for it, and not for a card that cannot be told from it, goes first. */
static Quarantine *find_quarantine(const Quarantines *quarantines, const Device *device)
{
        Quarantine *quarantine, *found = NULL;

        DL_FOREACH (quarantines->list, quarantine)
                if (is_about(&quarantine->record, device) &&
                    (!found ||
                     (device->serial[0] != '\0' && strcmp(quarantine->record.serial, device->serial) == 0)))
                        found = quarantine;
        return found;
}

void quarantines_device_added(Quarantines *quarantines, Device *device)
{
        Quarantine *quarantine = find_quarantine(quarantines, device);

        if (!quarantine)
                return;
        /* Its bus may have another number now. */
        quarantine->record.device.address = device->facts.address;
        device->quarantine = quarantine;
}

void quarantines_identify(Quarantines *quarantines, Device *device)
{
        Quarantine *quarantine = device->quarantine;

        if (device->serial[0] == '\0')
                return;
        /* It is the very device that was put in, and not one that came later to its place. */
        if (quarantine && quarantine->record.serial[0] == '\0' &&
            quarantine->generation == device->generation) {
                memcpy(quarantine->record.serial, device->serial, sizeof(device->serial));
                tell(quarantines, &quarantine->record, QUARANTINE_IDENTIFIED);
                notify(quarantines, device);
                return;
        }
        if (quarantine_is_pinned(device)) {
                if (!may_be_same_card(quarantine->record.serial, device->serial))
                        add_reason(quarantines, device, QUARANTINE_OTHER_SERIAL);
                return;
        }
        device->quarantine = find_quarantine(quarantines, device);
        if (device->quarantine != quarantine) {
                if (device->quarantine)
                        device->quarantine->record.device.address = device->facts.address;
                notify(quarantines, device);
        }
        /* It has come back, and may not go by another number from now on. */
        if (device->quarantine && strcmp(device->quarantine->record.serial, device->serial) == 0 &&
            pin(quarantines, device->quarantine, device))
                tell(quarantines, &device->quarantine->record, QUARANTINE_PINNED);
}

bool quarantine_keeps_drivers_off(const QuarantineRecord *record)
{
        return record->cause == QUARANTINE_DEAD || record->cause == QUARANTINE_DEGRADED;
}

/* ---- what a reset says ---- */

static bool is_of(const WorkerCheck *check, const PciAddress *member)
{
        return pci_address_equal(&check->device, member);
}

static void collect_checks(const WorkerResult *result, const PciAddress *member, QuarantineRecord *record)
{
        for (int failed = 1; failed >= 0; failed--)
                for (size_t i = 0; i < result->n_checks && record->n_checks < QUARANTINE_CHECKS_MAX; i++)
                        if (is_of(&result->checks[i], member) &&
                            (result->checks[i].result == CHECK_FAILED) == failed)
                                record->checks[record->n_checks++] = result->checks[i];
}

bool quarantine_judge(const WorkerResult *result, const char *method, const PciAddress *member,
                      QuarantineRecord *ret)
{
        QuarantineRecord record = {.cause = QUARANTINE_DEGRADED};
        const WorkerCheck *first = record.checks;
        bool was_reset = result->written;

        collect_checks(result, member, &record);
        if (record.n_checks == 0 || first->result != CHECK_FAILED)
                return false;
        for (size_t i = 0; i < record.n_checks; i++)
                if (record.checks[i].result == CHECK_FAILED &&
                    strcmp(record.checks[i].check, "answers") == 0)
                        record.cause = QUARANTINE_DEAD;

        for (size_t i = 0; i < record.n_checks; i++)
                if (record.checks[i].result == CHECK_FAILED && record.checks[i].after[0] == '\0' &&
                    strcmp(record.checks[i].check, "driver") == 0)
                        (void) snprintf(record.driver, sizeof(record.driver), "%.*s",
                                        (int) sizeof(record.driver) - 1, record.checks[i].before);

        if (record.cause == QUARANTINE_DEAD)
                (void) snprintf(record.reason, sizeof(record.reason), "it does not answer %s%s",
                                was_reset ? "after a reset by " : "", was_reset ? method : "any more");
        else
                (void) snprintf(record.reason, sizeof(record.reason),
                                "a reset by %s has left it changed: %s was '%.60s' and is '%.60s'", method,
                                first->check, first->before, first->after);
        if (was_reset)
                (void) snprintf(record.method, sizeof(record.method), "%s", method);
        *ret = record;
        return true;
}
