/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Acquire and Inhibit: a claim on devices for whoever gets its descriptor. Polkit decides; what it was asked
 * about is looked at once more when it has answered, and asked again if it is not the same any more.
 *
 * The claim is on disk before the caller gets the descriptor. If the reply does not reach him, the last copy
 * of the descriptor goes with it, and the claim ends like any other.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/details.h"
#include "daemon/bus/find-device.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/domain/admission.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/release.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define ACTION_ACQUIRE ACTION_PREFIX "acquire"
#define ACTION_INHIBIT ACTION_PREFIX "inhibit"
/* A device whose facts change at every look would make polkit be asked for ever. */
#define QUESTIONS_MAX 4U

typedef struct ClaimCall {
        PendingCall pending;
        ClaimRecord record;
        uint64_t *generations; /* of the devices that the call named */
        char *asked; /* what polkit was told */
        unsigned n_questions;
} ClaimCall;

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static void release(PendingCall *pending)
{
        ClaimCall *call = (ClaimCall *) pending;

        free(call->record.devices);
        free(call->generations);
        free(call->asked);
}

static bool is_lease(const ClaimCall *call)
{
        return call->record.kind == CLAIM_LEASE;
}

/* The index-th device, NULL if it is gone or another one has its address. */
static Device *device_at(const ClaimCall *call, size_t index)
{
        Device *device = registry_find(call->pending.bus->registry, &call->record.devices[index].address);

        return device && device->generation == call->generations[index] ? device : NULL;
}

/* ---- is it possible at all? ---- */

static int refuse_releasing(const Device *device, sd_bus_error *error)
{
        const Release *release = device->release;
        char address[PCI_ADDRESS_STRING_MAX];
        bool waits = release->state == RELEASE_WAITS;

        if (!release->record.pending)
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "InUse",
                        "%s is open through VFIO, and is to be reset after that user, its last "
                        "user so far. Wait until Cleanliness is clean and ask again; GetHolders "
                        "tells who it is.",
                        pci_address_format(&device->facts.address, address));
        return sd_bus_error_setf(error, BUS_ERROR_PREFIX "InUse",
                                 "%s is to be reset after its last user (uid %u), who has let go of it%s%s. "
                                 "Wait until Cleanliness is clean and ask again%s.",
                                 pci_address_format(&device->facts.address, address), release->record.uid,
                                 waits ? "; " : "", waits ? release->waits : "",
                                 waits ? "; GetHolders and Plan tell who is in the way" : "");
}

static int check(const ClaimCall *call, sd_bus_error *error)
{
        const ClaimRecord *record = &call->record;
        const Bus *bus = call->pending.bus;
        char address[PCI_ADDRESS_STRING_MAX], rule[POLICY_RULE_TEXT_MAX];
        Admission found;

        if (record->n_devices == 0 && call->pending.uid != 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
                                        "Only root may inhibit the reset of all devices. Name those that it "
                                        "is about.");
        found = admission_judge(bus->claims, bus->jobs, bus->registry, record, call->generations);
        switch (found.obstacle) {
        case ADMISSION_FREE:
                break;
        case ADMISSION_LIMITS:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "LimitsExceeded",
                        "Too many claims: one user has at most %u leases and inhibitors, on %u devices "
                        "together, and all users %u. Release some and ask again.",
                        CLAIMS_PER_UID_MAX, CLAIM_DEVICES_PER_UID_MAX, CLAIMS_MAX);
        case ADMISSION_GONE:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "DeviceGone",
                        "%s: the device was removed, or another one has its address now. Look at "
                        "ListDevices and ask again.",
                        pci_address_format(&record->devices[found.index].address, address));
        case ADMISSION_QUARANTINED:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "Quarantined",
                        "%s is in quarantine: %s%s. " QUARANTINE_NEXT_STEP,
                        pci_address_format(&found.device->facts.address, address),
                        found.device->quarantine->record.reason,
                        found.device->quarantine->record.serial[0] != '\0' ? "" : "; " QUARANTINE_OF_PLACE);
        case ADMISSION_RECOVERING:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "Recovering",
                        "%s: the kernel recovers the device, or one that shares its link, from an "
                        "error just now. " RECOVERING_NEXT_STEP,
                        pci_address_format(&found.device->facts.address, address));
        case ADMISSION_FROZEN:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "NotUsable",
                        "%s: its partitionable endpoint is frozen (EEH). Have it recovered, or "
                        "reset by the method thaw, and ask again.",
                        pci_address_format(&found.device->facts.address, address));
        case ADMISSION_LEASED:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "Leased",
                        "%s is in lease %s of %s (uid %u). Ask whoever has it, and try again once "
                        "it is released.",
                        pci_address_format(&found.device->facts.address, address),
                        found.device->lease->record.id, found.device->lease->record.who,
                        found.device->lease->record.uid);
        case ADMISSION_RESETTING:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "InUse",
                        "%s is being reset just now (job %u of uid %u). Wait until that has "
                        "ended and ask again.",
                        pci_address_format(&found.job->target.address, address), found.job->id,
                        found.job->request.uid);
        case ADMISSION_RELEASING:
                return refuse_releasing(found.device, error);
        case ADMISSION_NOT_CLEAN:
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "PolicyDenied",
                        "%s is not clean (%s), and the policy gives it to nobody before a reset of it is "
                        "verified%s%s. Reset it (not by pm, rescan or thaw, which prove nothing), then ask "
                        "again.",
                        pci_address_format(&found.device->facts.address, address),
                        cleanliness_to_string(found.device->cleanliness), found.rule ? ": rule " : "",
                        policy_rule_text(found.rule, rule));
        }
        return 0;
}

/* ---- may he? ---- */

/* The addresses, with blanks between them. */
static char *format_devices(const ClaimRecord *record)
{
        char *text = malloc(record->n_devices * PCI_ADDRESS_STRING_MAX + 1), *p = text;
        char address[PCI_ADDRESS_STRING_MAX];

        if (!text)
                return NULL;
        *p = '\0';
        for (size_t i = 0; i < record->n_devices; i++) {
                if (i > 0)
                        *p++ = ' ';
                p = stpcpy(p, pci_address_format(&record->devices[i].address, address));
        }
        return text;
}

static void describe(const ClaimCall *call, const char *first, char *purpose, size_t size)
{
        const char *verb = is_lease(call) ? "take a lease on" : "inhibit the reset of";
        size_t n = call->record.n_devices;

        if (n == 0)
                (void) snprintf(purpose, size, "%s all PCI devices", verb);
        else if (n == 1)
                (void) snprintf(purpose, size, "%s PCI device %s", verb, first);
        else
                (void) snprintf(purpose, size, "%s PCI device %s and %zu more", verb, first, n - 1);
}

/* All details in one text: if it is the same, so is the question. */
static char *join_details(const PolkitDetail *details, size_t n)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < n; i++)
                fprintf(f, "%s=%s\n", details[i].key, details[i].value);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

#define DETAILS (DEVICE_DETAILS + 3U)

static const char *mode_of(const ClaimCall *call)
{
        return is_lease(call) ? "" : call->record.kind == CLAIM_INHIBIT_BLOCK ? "block" : "delay";
}

/* Asks, unless the very same question has been answered. Returns a positive number if it was not. */
static int ask(ClaimCall *call)
{
        const Device *first = call->record.n_devices > 0 ? device_at(call, 0) : NULL;
        _cleanup_free_ char *devices = format_devices(&call->record), *asked = NULL;
        PolkitDetail details[DETAILS];
        char purpose[96], message[128];
        DeviceDetails texts;

        if (!devices)
                return -ENOMEM;
        fill_device_details(first, &texts, details);
        describe(call, texts.address, purpose, sizeof(purpose));
        (void) snprintf(message, sizeof(message), "Authentication is required to %s", purpose);
        details[DEVICE_DETAILS] = (PolkitDetail){"devices", devices};
        details[DEVICE_DETAILS + 1] = (PolkitDetail){"mode", mode_of(call)};
        details[DEVICE_DETAILS + 2] = (PolkitDetail){"polkit.message", message};

        asked = join_details(details, DETAILS);
        if (!asked)
                return -ENOMEM;
        if (call->asked && strcmp(call->asked, asked) == 0)
                return 1;
        if (call->n_questions++ >= QUESTIONS_MAX)
                return -EACCES;
        free(call->asked);
        call->asked = steal_pointer(asked);
        pending_authorize(&call->pending, is_lease(call) ? ACTION_ACQUIRE : ACTION_INHIBIT, purpose, details,
                          DETAILS);
        return 0;
}

/* ---- then he has it ---- */

static uint64_t now_realtime(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static int reply(ClaimCall *call, int fd)
{
        if (is_lease(call))
                return sd_bus_reply_method_return(call->pending.message, "hs", fd, call->record.id);
        return sd_bus_reply_method_return(call->pending.message, "h", fd);
}

static int take(ClaimCall *call, sd_bus_error *error)
{
        _cleanup_close_ int fd = -EBADF;
        Bus *bus = call->pending.bus;
        const Claim *claim;
        int r;

        call->record.since = now_realtime();
        r = lease_store_add(bus->leases, &call->record, &fd);
        if (r == -EMFILE || r == -ENFILE)
                return sd_bus_error_set(error, BUS_ERROR_PREFIX "LimitsExceeded",
                                        "No descriptor is left for this. Wait and ask again.");
        if (r < 0) {
                /* Nobody is given what a kill of the daemon would end without a word. */
                journal_claim_unusable("A new one", r);
                return sd_bus_error_setf(error, SD_BUS_ERROR_IO_ERROR,
                                         "It cannot be kept in /run, and would not outlast a restart of the "
                                         "daemon: %s",
                                         strerror(-r));
        }
        r = claims_add(bus->claims, &call->record, &claim);
        if (r < 0) {
                lease_store_remove(bus->leases, call->record.id);
                return r;
        }
        journal_claim_taken(&call->record);
        r = reply(call, fd);
        if (r < 0)
                journal_bus_failed("A reply", r);
        return 0;
}

static void proceed(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ClaimCall *call = (ClaimCall *) pending;
        int r;

        call->record.uid = pending->uid;
        r = check(call, &error);
        if (r >= 0) {
                r = ask(call);
                if (r == 0)
                        return;
        }
        if (r == -EACCES && !sd_bus_error_is_set(&error))
                r = sd_bus_error_set(&error, SD_BUS_ERROR_ACCESS_DENIED,
                                     "Not authorized, since the device changed whenever that was asked. Ask "
                                     "again when it has settled.");
        if (r > 0)
                r = take(call, &error);
        if (r < 0)
                pending_fail(pending, &error, r);
        else
                pending_end(pending);
}

static const PendingKind kind = {
        .size = sizeof(ClaimCall),
        .room = PENDING_CHANGES,
        .identified = proceed,
        .granted = proceed,
        .release = release,
};

/* ---- the call ---- */

static int add_device(ClaimCall *call, const char *text, sd_bus_error *error)
{
        ClaimRecord *record = &call->record;
        Device *device;
        int r = find_device(call->pending.bus, text, &device, error);

        if (r < 0)
                return r;
        for (size_t i = 0; i < record->n_devices; i++)
                if (pci_address_equal(&record->devices[i].address, &device->facts.address))
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "%s is named twice. Name each device once.", text);
        if (record->n_devices == CLAIM_DEVICES_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "More than %u devices are named. Use several calls.",
                                         CLAIM_DEVICES_MAX);
        call->generations[record->n_devices] = device->generation;
        record->devices[record->n_devices++] = claim_device(device);
        return 0;
}

static int read_devices(ClaimCall *call, sd_bus_message *message, sd_bus_error *error)
{
        const char *text;
        int r;

        call->record.devices = calloc(CLAIM_DEVICES_MAX, sizeof(ClaimDevice));
        call->generations = calloc(CLAIM_DEVICES_MAX, sizeof(uint64_t));
        if (!call->record.devices || !call->generations)
                return -ENOMEM;
        r = sd_bus_message_enter_container(message, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(message, "s", &text)) > 0)
                r = add_device(call, text, error);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* A text for people, who read it in tables and in the journal: one line. */
static int read_text(sd_bus_message *message, const char *name, char *buffer, size_t size,
                     sd_bus_error *error)
{
        const char *text;
        int r = sd_bus_message_read(message, "s", &text);

        if (r < 0)
                return r;
        if (strcmp(utf8_quote(text, buffer, size), text) != 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "The text '%s' is one line of at most %zu bytes, without control "
                                         "characters.",
                                         name, size - 1);
        return 0;
}

static int read_mode(ClaimCall *call, sd_bus_message *message, sd_bus_error *error)
{
        char quoted[QUOTED_MAX];
        const char *mode;
        int r = sd_bus_message_read(message, "s", &mode);

        if (r < 0)
                return r;
        if (strcmp(mode, "block") == 0)
                call->record.kind = CLAIM_INHIBIT_BLOCK;
        else if (strcmp(mode, "delay") == 0)
                call->record.kind = CLAIM_INHIBIT_DELAY;
        else
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "'%s' is no mode. It is block or delay.",
                                         utf8_quote(mode, quoted, sizeof(quoted)));
        return 0;
}

static int read_arguments(ClaimCall *call, sd_bus_message *message, bool inhibits, sd_bus_error *error)
{
        ClaimRecord *record = &call->record;
        int r;

        r = read_devices(call, message, error);
        if (r >= 0)
                r = read_text(message, "who", record->who, sizeof(record->who), error);
        if (r >= 0)
                r = read_text(message, "why", record->why, sizeof(record->why), error);
        if (r >= 0 && inhibits)
                r = read_mode(call, message, error);
        if (r >= 0)
                r = options_read(message, NULL, 0, error);
        if (r < 0)
                return r;
        if (record->who[0] == '\0')
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "The text 'who' is empty. Say who takes it, for others to read.");
        if (record->n_devices == 0 && !inhibits)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "No device is named. A lease is about one device at least.");
        return 0;
}

static int handle_claim(Bus *bus, sd_bus_message *message, bool inhibits, sd_bus_error *error)
{
        PendingCall *pending;
        int r;

        r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        r = read_arguments((ClaimCall *) pending, message, inhibits, error);
        if (r < 0) {
                pending_end(pending);
                return r;
        }
        return pending_begin(pending);
}

int handle_acquire(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        return handle_claim(bus, message, false, error);
}

int handle_inhibit(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        return handle_claim(bus, message, true, error);
}

/* ---- who has what ---- */

int handle_list_claims(Bus *bus, sd_bus_message *message, bool leases, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (const Claim *claim = claims_next(bus->claims, NULL); claim && r >= 0;
             claim = claims_next(bus->claims, claim))
                if ((claim->record.kind == CLAIM_LEASE) == leases)
                        r = append_claim(reply, &claim->record);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}
