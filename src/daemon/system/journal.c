/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Every call names its own source line: sd_journal_send() takes it from where it stands, here too, where it
 * is asked first whether the journal reads.
 */

#include "daemon/system/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "daemon/system/journal-socket.h"
#include "shared/message-ids.h"

#define TEXT_OF(x)  TEXT_OF_(x)
#define TEXT_OF_(x) #x

#undef sd_journal_send
#define sd_journal_send(...)                                                                                \
        (journal_takes_entry(JOURNAL_SOCKET)                                                                \
                 ? sd_journal_send_with_location("CODE_FILE=" __FILE__, "CODE_LINE=" TEXT_OF(__LINE__),     \
                                                 __func__, __VA_ARGS__)                                     \
                 : 0)

void journal_started(const char *version, size_t n_devices)
{
        (void) sd_journal_send("MESSAGE=pciresetd %s looks after %zu PCI functions.", version, n_devices,
                               "PRIORITY=%i", LOG_INFO, NULL);
}

void journal_policy_refused(const char *message, int error)
{
        (void) sd_journal_send("MESSAGE=The policy cannot be used, so pciresetd does not start: %s", message,
                               "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_POLICY_REFUSED, "ERRNO=%i",
                               -error, NULL);
}

void journal_policy_kept(const char *message, int error)
{
        (void) sd_journal_send("MESSAGE=The policy cannot be used, so the one that held still holds: %s",
                               message, "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_POLICY_KEPT,
                               "ERRNO=%i", -error, NULL);
}

void journal_policy_changed(uint32_t uid, const char *id, bool unset, int error)
{
        const char *what = unset ? "taken away" : "set";

        if (error < 0) {
                (void) sd_journal_send("MESSAGE=A rule of the policy could not be %s for uid %u: %s", what,
                                       uid, strerror(-error), "PRIORITY=%i", LOG_WARNING, "ERRNO=%i", -error,
                                       "PCIRESETD_UID=%u", uid, NULL);
                return;
        }
        (void) sd_journal_send("MESSAGE=Rule %s of the policy was %s by uid %u%s.", id, what, uid,
                               error > 0 ? ", but may not survive a loss of power" : "", "PRIORITY=%i",
                               error > 0 ? LOG_WARNING : LOG_NOTICE, "MESSAGE_ID=" MESSAGE_ID_POLICY_CHANGED,
                               "PCIRESETD_UID=%u", uid, "PCIRESETD_RULE=%s", id, NULL);
}

void journal_ordered(const Device *device, const PolicyRule *rule, const ResetMethodList *wanted,
                     const ResetMethodList *refused, bool failed)
{
        char address[PCI_ADDRESS_STRING_MAX], text[POLICY_RULE_TEXT_MAX], want[RESET_METHOD_LIST_STRING_MAX],
                have[RESET_METHOD_LIST_STRING_MAX], not_taken[RESET_METHOD_LIST_STRING_MAX];
        bool complete = !failed && refused->n == 0;

        pci_address_format(&device->facts.address, address);
        (void) sd_journal_send(
                "MESSAGE=%s: its reset_method is to read '%s' (rule %s): it reads '%s'%s%s%s.", address,
                reset_method_list_format(wanted, want),
                rule ? policy_rule_text(rule, text) : "none any more",
                reset_method_list_format(&device->live.methods, have),
                failed     ? ", and could not be written"
                : complete ? ""
                           : ", since the kernel refuses ",
                failed ? "" : reset_method_list_format(refused, not_taken),
                complete ? "" : ". This is not tried again before something changes", "PRIORITY=%i",
                complete ? LOG_INFO : LOG_WARNING, "MESSAGE_ID=" MESSAGE_ID_ORDERED, "PCIRESETD_DEVICE=%s",
                address, "PCIRESETD_RULE=%s", policy_rule_text(rule, text), NULL);
}

void journal_policy_loaded(size_t n_rules, size_t n_pairs)
{
        (void) sd_journal_send("MESSAGE=The policy has %zu rules and ties %zu pairs of devices together.",
                               n_rules, n_pairs, "PRIORITY=%i", LOG_INFO,
                               "MESSAGE_ID=" MESSAGE_ID_POLICY_LOADED, NULL);
}

void journal_workaround(const Job *job)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&job->target.address, device);
        (void) sd_journal_send("MESSAGE=%s: its reset works around what the device advertises, as rule %s "
                               "has it (job %u). A quirk in the kernel would help everybody.",
                               device, job->workaround, job->id, "PRIORITY=%i", LOG_WARNING,
                               "MESSAGE_ID=" MESSAGE_ID_WORKAROUND, "PCIRESETD_DEVICE=%s", device,
                               "PCIRESETD_JOB=%u", job->id, "PCIRESETD_METHOD=%s", job->method,
                               "PCIRESETD_RULE=%s", job->workaround, NULL);
}

/* Anybody can ask, so what comes to nothing may not fill the journal, which drops a service's entries beyond
 * ten thousand in half a minute, whatever they say. What was allowed is always told. */
#define NOTHINGS_MAX         1000U
#define NOTHINGS_WINDOW_USEC (UINT64_C(30) * 1000 * 1000)

static uint64_t now_usec(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static bool may_tell(const Job *job)
{
        static uint64_t window_usec;
        static unsigned n_told, n_suppressed;
        uint64_t now;

        if (job->announced)
                return true;
        now = now_usec();
        if (window_usec == 0 || now - window_usec > NOTHINGS_WINDOW_USEC) {
                if (n_suppressed > 0)
                        (void) sd_journal_send(
                                "MESSAGE=%u entries about requests that came to nothing were left out.",
                                n_suppressed, "PRIORITY=%i", LOG_WARNING, NULL);
                window_usec = now;
                n_told = n_suppressed = 0;
        }
        if (n_told >= NOTHINGS_MAX) {
                n_suppressed++;
                return false;
        }
        n_told++;
        return true;
}

void journal_requested(const Job *job)
{
        char device[PCI_ADDRESS_STRING_MAX];

        if (!may_tell(job))
                return;
        pci_address_format(&job->target.address, device);
        if (job->request.by_policy) {
                (void) sd_journal_send("MESSAGE=%s: rule %s wants it to be reset by %s (job %u).", device,
                                       job->request.rule, job->request.method, job->id, "PRIORITY=%i",
                                       LOG_INFO, "MESSAGE_ID=" MESSAGE_ID_REQUESTED, "PCIRESETD_DEVICE=%s",
                                       device, "PCIRESETD_JOB=%u", job->id, "PCIRESETD_UID=%u",
                                       job->request.uid, "PCIRESETD_METHOD=%s", job->request.method,
                                       "PCIRESETD_RULE=%s", job->request.rule, NULL);
                return;
        }
        (void) sd_journal_send("MESSAGE=%s: uid %u asks for a reset by %s (job %u).", device,
                               job->request.uid, job->request.method, job->id, "PRIORITY=%i", LOG_INFO,
                               "MESSAGE_ID=" MESSAGE_ID_REQUESTED, "PCIRESETD_DEVICE=%s", device,
                               "PCIRESETD_JOB=%u", job->id, "PCIRESETD_UID=%u", job->request.uid,
                               "PCIRESETD_METHOD=%s", job->request.method, NULL);
}

static const char *grant_text(Grant grant)
{
        switch (grant) {
        case GRANT_YES:
                return "allowed";
        case GRANT_NO:
                return "not allowed";
        case GRANT_CHALLENGE:
                return "not allowed without authentication";
        case GRANT_DISMISSED:
                return "not allowed, the authentication dialog was dismissed";
        case GRANT_FAILED:
                return "not allowed, polkit could not be asked";
        }
        return "not allowed";
}

void journal_authorized(const Job *job, const char *action, Grant grant)
{
        char device[PCI_ADDRESS_STRING_MAX];

        if (grant != GRANT_YES && !may_tell(job))
                return;
        pci_address_format(&job->target.address, device);
        (void) sd_journal_send(
                "MESSAGE=%s: uid %u, %s: %s by %s (job %u).", device, job->request.uid, grant_text(grant),
                job->method, action, job->id, "PRIORITY=%i", grant == GRANT_YES ? LOG_INFO : LOG_NOTICE,
                "MESSAGE_ID=%s", grant == GRANT_YES ? MESSAGE_ID_AUTHORIZED : MESSAGE_ID_DENIED,
                "PCIRESETD_DEVICE=%s", device, "PCIRESETD_JOB=%u", job->id, "PCIRESETD_UID=%u",
                job->request.uid, "PCIRESETD_METHOD=%s", job->method, "PCIRESETD_ACTION=%s", action, NULL);
}

void journal_reset_started(const Job *job)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&job->target.address, device);
        (void) sd_journal_send("MESSAGE=%s: resetting by %s, %zu device(s) affected (job %u).", device,
                               job->method, job->n_members, job->id, "PRIORITY=%i", LOG_NOTICE,
                               "MESSAGE_ID=" MESSAGE_ID_STARTED, "PCIRESETD_DEVICE=%s", device,
                               "PCIRESETD_JOB=%u", job->id, "PCIRESETD_UID=%u", job->request.uid,
                               "PCIRESETD_METHOD=%s", job->method, NULL);
}

void journal_finished(const Job *job)
{
        const char *method = job_method_used(job), *verdict = verdict_to_string(job_verdict(job));
        const char *result = reset_error_to_string(job->error);
        int priority = job->error == RESET_OK                                          ? LOG_NOTICE
                       : job->error == RESET_DEVICE_DEAD || job->error == RESET_FAILED ? LOG_ERR
                                                                                       : LOG_NOTICE;
        int error = job->n_attempts > 0 ? job->attempts[job->n_attempts - 1].error : 0;
        char device[PCI_ADDRESS_STRING_MAX];

        if (!may_tell(job))
                return;
        pci_address_format(&job->target.address, device);
        (void) sd_journal_send("MESSAGE=%s: reset %s%s%s, verdict %s (job %u).", device, result,
                               method[0] ? " by " : ", nothing was written", method, verdict, job->id,
                               "PRIORITY=%i", priority, "MESSAGE_ID=" MESSAGE_ID_FINISHED,
                               "PCIRESETD_DEVICE=%s", device, "PCIRESETD_JOB=%u", job->id,
                               "PCIRESETD_UID=%u", job->request.uid, "PCIRESETD_METHOD=%s", method,
                               "PCIRESETD_RESULT=%s", result, "PCIRESETD_VERDICT=%s", verdict, "ERRNO=%i",
                               error, NULL);
}

void journal_adopted(const Job *job)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&job->target.address, device);
        (void) sd_journal_send("MESSAGE=%s: a reset by %s that an earlier daemon began still runs (job %u).",
                               device, job->method, job->id, "PRIORITY=%i", LOG_NOTICE,
                               "MESSAGE_ID=" MESSAGE_ID_ADOPTED, "PCIRESETD_DEVICE=%s", device,
                               "PCIRESETD_JOB=%u", job->id, "PCIRESETD_METHOD=%s", job->method, NULL);
}

void journal_noreply(const char *sender, const char *member, unsigned n_suppressed)
{
        (void) sd_journal_send(
                "MESSAGE=Dropped a call of %s by %s that wants no reply: nothing that changes "
                "something is done unseen (%u more like it were not reported).",
                member, sender, n_suppressed, "PRIORITY=%i", LOG_WARNING, "MESSAGE_ID=" MESSAGE_ID_NOREPLY,
                "PCIRESETD_SENDER=%s", sender, NULL);
}

void journal_device_unreadable(const PciAddress *address, int error)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(address, device);
        (void) sd_journal_send("MESSAGE=%s: sysfs cannot be read, the device is left out: %s", device,
                               strerror(-error), "PRIORITY=%i", LOG_WARNING, "PCIRESETD_DEVICE=%s", device,
                               "ERRNO=%i", -error, NULL);
}

void journal_events_lost(int error)
{
        (void) sd_journal_send("MESSAGE=Events from udev were lost; all devices were read again%s%s",
                               error < 0 ? ": " : ".", error < 0 ? strerror(-error) : "", "PRIORITY=%i",
                               LOG_NOTICE, "MESSAGE_ID=" MESSAGE_ID_EVENTS_LOST, "ERRNO=%i", -error, NULL);
}

void journal_udev_failed(int error)
{
        (void) sd_journal_send("MESSAGE=An event from udev could not be handled: %s", strerror(-error),
                               "PRIORITY=%i", LOG_ERR, "ERRNO=%i", -error, NULL);
}

void journal_survey_failed(int error)
{
        (void) sd_journal_send("MESSAGE=It cannot be looked who uses devices: %s", strerror(-error),
                               "PRIORITY=%i", LOG_WARNING, "ERRNO=%i", -error, NULL);
}

void journal_worker_failed(uint32_t job, const char *what, int error)
{
        (void) sd_journal_send("MESSAGE=The worker of job %u %s: %s", job, what, strerror(-error),
                               "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_WORKER_FAILED,
                               "PCIRESETD_JOB=%u", job, "ERRNO=%i", -error, NULL);
}

void journal_scan_failed(const char *message, int error)
{
        static uint64_t told_usec;
        static unsigned n_suppressed;
        uint64_t now = now_usec();

        if (told_usec != 0 && now - told_usec < NOTHINGS_WINDOW_USEC) {
                n_suppressed++;
                return;
        }
        (void) sd_journal_send(
                "MESSAGE=Who uses devices could not be found out: %s%s%s (%u more like it were "
                "not reported).",
                message, message[0] ? ": " : "", strerror(-error), n_suppressed, "PRIORITY=%i", LOG_WARNING,
                "ERRNO=%i", -error, NULL);
        told_usec = now;
        n_suppressed = 0;
}

void journal_left_behind(const WorkerRecord *record)
{
        const WorkerRequest *request = record->request;
        const char *list = record->has_saved_reset_method ? record->saved_reset_method : NULL;
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&request->members[0].address, device);
        if (record->result)
                (void) sd_journal_send(
                        "MESSAGE=%s: the reset by %s ended while nobody listened, verdict %s (job %u).",
                        device, request->method, verdict_to_string(record->result->verdict), request->job,
                        "PRIORITY=%i", LOG_NOTICE, "MESSAGE_ID=" MESSAGE_ID_LEFT_BEHIND,
                        "PCIRESETD_DEVICE=%s", device, "PCIRESETD_JOB=%u", request->job,
                        "PCIRESETD_METHOD=%s", request->method, "PCIRESETD_VERDICT=%s",
                        verdict_to_string(record->result->verdict), NULL);
        else
                (void) sd_journal_send(
                        "MESSAGE=%s: the worker that reset it by %s died (job %u)%s%s. Another "
                        "one puts back what it has changed, and looks at the device.",
                        device, request->method, request->job,
                        list ? " and may have left reset_method narrowed; it was: " : "", list ? list : "",
                        "PRIORITY=%i", LOG_WARNING, "MESSAGE_ID=" MESSAGE_ID_LEFT_BEHIND,
                        "PCIRESETD_DEVICE=%s", device, "PCIRESETD_JOB=%u", request->job,
                        "PCIRESETD_METHOD=%s", request->method, NULL);
}

void journal_interrupted(const WorkerRequest *request, bool is_there)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&request->members[0].address, device);
        (void) sd_journal_send(
                "MESSAGE=%s: the machine went down in the middle of a reset by %s, asked for by uid "
                "%u. %s",
                device, request->method, request->uid,
                is_there ? "The device is looked at now." : "The device is not there any more.",
                "PRIORITY=%i", LOG_WARNING, "MESSAGE_ID=" MESSAGE_ID_INTERRUPTED, "PCIRESETD_DEVICE=%s",
                device, "PCIRESETD_METHOD=%s", request->method, "PCIRESETD_UID=%u", request->uid, NULL);
}

void journal_under_way_failed(const char *what, int error)
{
        (void) sd_journal_send(
                "MESSAGE=The list of resets under way cannot be %s: %s. Should the machine go down "
                "in the middle of one, nobody will know.",
                what, strerror(-error), "PRIORITY=%i", LOG_WARNING, "ERRNO=%i", -error, NULL);
}

void journal_not_mended(uint32_t job, const WorkerRecord *record, int error)
{
        const char *list = record && record->has_saved_reset_method ? record->saved_reset_method : NULL;
        char device[PCI_ADDRESS_STRING_MAX] = "";

        if (record)
                pci_address_format(&record->request->members[0].address, device);
        (void) sd_journal_send("MESSAGE=%s: the worker that reset it died (job %u), and what it has changed "
                               "could not be put back: %s%s%s. Look at the device before you use it.",
                               device, job, strerror(-error), list ? "; reset_method was: " : "",
                               list ? list : "", "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_NOT_MENDED,
                               "PCIRESETD_DEVICE=%s", device, "PCIRESETD_JOB=%u", job, "ERRNO=%i", -error,
                               NULL);
}

void journal_record_unusable(const char *name, int error)
{
        (void) sd_journal_send(
                "MESSAGE=The record %s of an earlier reset is unusable and is left where it is: %s", name,
                strerror(-error), "PRIORITY=%i", LOG_ERR, "ERRNO=%i", -error, NULL);
}

void journal_watch_failed(const char *what, int error)
{
        (void) sd_journal_send("MESSAGE=%s cannot be listened to, changes of use may go unnoticed: %s", what,
                               strerror(-error), "PRIORITY=%i", LOG_WARNING, "ERRNO=%i", -error, NULL);
}

void journal_watch_partial(const PciAddress *address, size_t n)
{
        char text[PCI_ADDRESS_STRING_MAX];

        (void) pci_address_format(address, text);
        (void) sd_journal_send(
                "MESSAGE=%s: it has more device nodes than the %zu that are listened to, changes of "
                "use may go unnoticed",
                text, n, "PRIORITY=%i", LOG_WARNING, "PCIRESETD_DEVICE=%s", text, NULL);
}

void journal_claim_unusable(const char *name, int error)
{
        (void) sd_journal_send("MESSAGE=%s among the stored claims is unusable: %s", name, strerror(-error),
                               "PRIORITY=%i", LOG_ERR, "ERRNO=%i", -error, NULL);
}

void journal_release_waits(const Release *release)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&release->record.device.address, device);
        (void) sd_journal_send(
                "MESSAGE=%s: its last user (uid %u) has let go of it, and nobody gets it before "
                "it is reset: %s.",
                device, release->record.uid, release->waits, "PRIORITY=%i", LOG_NOTICE,
                "MESSAGE_ID=" MESSAGE_ID_RELEASE_WAITS, "PCIRESETD_DEVICE=%s", device, "PCIRESETD_UID=%u",
                release->record.uid, "PCIRESETD_REASON=%s", release->waits, NULL);
}

void journal_release_unstored(const char *name, int error)
{
        (void) sd_journal_send("MESSAGE=%s among the users of devices cannot be stored or read: %s", name,
                               strerror(-error), "PRIORITY=%i", LOG_ERR, "ERRNO=%i", -error, NULL);
}

/* "0000:01:00.0 and 3 more", for an inhibitor of all devices "all devices"; `first` gets the address alone.
 */
static void describe_devices(const ClaimRecord *record, char first[static PCI_ADDRESS_STRING_MAX],
                             char *text, size_t size)
{
        first[0] = '\0';
        if (record->n_devices > 0)
                pci_address_format(&record->devices[0].address, first);
        if (record->n_devices == 0)
                (void) snprintf(text, size, "all devices");
        else if (record->n_devices == 1)
                (void) snprintf(text, size, "%s", first);
        else
                (void) snprintf(text, size, "%s and %zu more", first, record->n_devices - 1);
}

static const char *claim_text(const ClaimRecord *record)
{
        switch (record->kind) {
        case CLAIM_LEASE:
                break;
        case CLAIM_INHIBIT_BLOCK:
                return "forbids the reset of";
        case CLAIM_INHIBIT_DELAY:
                return "wants to be told before the reset of";
        }
        return "has a lease on";
}

void journal_claim_taken(const ClaimRecord *record)
{
        char device[PCI_ADDRESS_STRING_MAX], devices[64];

        describe_devices(record, device, devices, sizeof(devices));
        (void) sd_journal_send("MESSAGE=%s (uid %u) %s %s%s%s (%s).", record->who, record->uid,
                               claim_text(record), devices, record->why[0] ? ": " : "", record->why,
                               record->id, "PRIORITY=%i", LOG_INFO, "MESSAGE_ID=%s",
                               record->kind == CLAIM_LEASE ? MESSAGE_ID_LEASE_TAKEN : MESSAGE_ID_INHIBITED,
                               "PCIRESETD_CLAIM=%s", record->id, "PCIRESETD_UID=%u", record->uid,
                               "PCIRESETD_DEVICE=%s", device, NULL);
}

static void claim_ended(const ClaimRecord *record, const char *how)
{
        bool is_lease = record->kind == CLAIM_LEASE;
        char device[PCI_ADDRESS_STRING_MAX], devices[64];

        describe_devices(record, device, devices, sizeof(devices));
        (void) sd_journal_send(
                "MESSAGE=The %s of %s (uid %u) on %s has ended%s (%s).", is_lease ? "lease" : "inhibitor",
                record->who, record->uid, devices, how, record->id, "PRIORITY=%i", LOG_INFO, "MESSAGE_ID=%s",
                is_lease ? MESSAGE_ID_LEASE_RELEASED : MESSAGE_ID_UNINHIBITED, "PCIRESETD_CLAIM=%s",
                record->id, "PCIRESETD_UID=%u", record->uid, "PCIRESETD_DEVICE=%s", device, NULL);
}

void journal_claim_released(const ClaimRecord *record)
{
        claim_ended(record, "");
}

void journal_claim_orphaned(const ClaimRecord *record)
{
        claim_ended(record, " while no daemon ran");
}

void journal_authorization_kept(void)
{
        (void) sd_journal_send(
                "MESSAGE=polkit keeps an authorisation that was given for one device and would "
                "hold for all: this counts as a no. No rule may return a result that ends in "
                "_KEEP for an action of pciresetd, see pciresetd(8).",
                "PRIORITY=%i", LOG_WARNING, NULL);
}

void journal_history_news(const HistoryNews *news)
{
        static const struct {
                const char *before, *after, *id;
                int priority;
        } words[] = {
                [HISTORY_PUT_ASIDE] = {"The history cannot be used and is begun anew", "",
                                       MESSAGE_ID_HISTORY_ASIDE, LOG_ERR},
                [HISTORY_VANISHED] = {"The history was removed or replaced and is begun anew", "",
                                      MESSAGE_ID_HISTORY_ASIDE, LOG_ERR},
                [HISTORY_UNWRITABLE] = {"The history cannot be written",
                                        "; what becomes of resets is kept in memory",
                                        MESSAGE_ID_HISTORY_UNWRITABLE, LOG_ERR},
                [HISTORY_WRITABLE] = {"The history can be written again", "", MESSAGE_ID_HISTORY_WRITABLE,
                                      LOG_NOTICE},
                [HISTORY_ROWS_LOST] = {"Rows of the history are lost", "", MESSAGE_ID_HISTORY_LOST, LOG_ERR},
        };
        const char *reason = news->text[0] != '\0' ? news->text
                             : news->error < 0     ? strerror(-news->error)
                                                   : "";
        char count[32] = "";

        if (news->count > 0)
                (void) snprintf(count, sizeof(count), " (%" PRIu64 " rows)", news->count);
        (void) sd_journal_send(
                "MESSAGE=%s%s%s%s%s%s%s.", words[news->type].before, reason[0] != '\0' ? ": " : "", reason,
                words[news->type].after, news->file[0] != '\0' ? "; the old file is " : "", news->file,
                count, "PRIORITY=%i", words[news->type].priority, "MESSAGE_ID=%s", words[news->type].id,
                "PCIRESETD_FILE=%s", news->file, "ERRNO=%i", -news->error, NULL);
}

void journal_history_imported(const HistoryImport *import, uint32_t uid)
{
        (void) sd_journal_send("MESSAGE=uid %u has imported %" PRIu64
                               " rows of history, signed off by %s (%" PRIu64 " were known).",
                               uid, import->n_added, import->origin, import->n_known, "PRIORITY=%i",
                               LOG_NOTICE, "MESSAGE_ID=" MESSAGE_ID_HISTORY_IMPORTED, "PCIRESETD_UID=%u",
                               uid, NULL);
}

void journal_history_failed(const char *what, int error)
{
        (void) sd_journal_send("MESSAGE=The history of resets: %s: %s", what, strerror(-error),
                               "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_HISTORY_LOST, "ERRNO=%i",
                               -error, NULL);
}

void journal_bus_failed(const char *what, int error)
{
        (void) sd_journal_send("MESSAGE=%s on the bus failed: %s", what, strerror(-error), "PRIORITY=%i",
                               LOG_ERR, "ERRNO=%i", -error, NULL);
}
