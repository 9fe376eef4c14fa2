/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Codes stay codes in tables and in JSON, where programs read them. Here are the sentences that go with
 * them. The codes are the daemon's (pciresetd(8)); one that is missing here is shown as it is.
 */

#include "pcireset/words.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/names.h"
#include "pcireset/text.h"

typedef struct Words {
        const char *code;
        const char *words;
} Words;

static const char *look_up(const Words *table, size_t n, const char *code)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].code, code) == 0)
                        return table[i].words;
        return NULL;
}

const char *why_to_words(const char *code)
{
        static const Words table[] = {
                {"not-advertised", "the kernel does not offer this method for the device"},
                {"unknown-method", "this version does not know which devices the method would disturb"},
                {"bridge", "the device is a bridge, and a reset would cut off everything behind it"},
                {"root-bus", "there is no bridge above the device whose link could be reset"},
                {"siblings", "other functions are below the same bridge, so the kernel refuses it"},
                {"topology-unknown", "the bridge above the device is not known yet; try again in a moment"},
                {"virtual-function", "it does not bring a virtual function back"},
                {"vf", "it does not bring a virtual function back"},
                {"no-slot", "the device is in no slot whose power can be switched"},
                {"edges", "the policy ties the device to others that the method cannot reset with it"},
                {"driver-bound", "a driver of the host uses a device that would be reset; see --in-use"},
                {"held", "a program or an interface uses a device that would be reset; see --in-use"},
                {"storage-in-use",
                 "a file system, swap or other storage is in use on a device that would be reset"},
                {"network-in-use", "an interface of a device that would be reset is up and has addresses"},
                {"use-unknown", "it could not be found out who uses a device that would be reset"},
                {"vfio-open", "a process has a device that would be reset open through VFIO"},
                {"not-vfio", "a device that would be reset is not bound to a VFIO driver"},
                {"not-owned",
                 "a device that would be reset is in a VFIO group that the caller did not present"},
                {"guest", "a Xen guest has a device that would be reset"},
                {"pciback", "a Xen guest may be using a device that would be reset"},
                {"tsm-bound", "a device that would be reset is bound to a confidential guest"},
                {"leased",
                 "somebody else has a lease on a device that would be reset; see `pcireset leases`"},
                {"lease-gone", "the lease that was named does not hold the device any more"},
                {"not-assignable",
                 "Xen guests may get the device, and the host keeps another one that would be reset; bind "
                 "that to pciback too"},
                {"forbidden", "the policy forbids it"},
                {"link-forbidden", "the policy allows no reset of more than the function"},
                {"not-listed", "the policy's order does not have it, so it has to be asked for by name"},
                {"known-bad", "it is known to do harm on this hardware, so it has to be asked for by name"},
                {"edges", "the policy ties it to devices that this method cannot be done with"},
                {"inhibited", "somebody forbids it for now; see `pcireset inhibitors`"},
                {"not-released", "it would disturb devices that were not let go with this one"},
                {"frozen", "a device that would be reset is frozen (EEH); see the method thaw"},
                {"not-frozen", "the device is not frozen (EEH)"},
                {"recovering", "the kernel recovers a device that would be reset from an error just now"},
                {"last-resort", "it takes the device away, so it runs by name only"},
        };
        const char *words = look_up(table, ELEMENTSOF(table), code);

        return words ? words : "a reason newer than this client: see pciresetd(8)";
}

const char *kind_to_words(const char *kind, bool hard)
{
        static const Words table[] = {
                {"root", "the root file system is on it; it is never reset"},
                {"mount", "a file system on it is mounted; unmount it first"},
                {"swap", "it is swapped to; swapoff(8) first"},
                {"block",
                 "a block device of it is claimed, such as by LVM, RAID or a mount in a container; that "
                 "has to let go first"},
                {"network", "an interface of it is up and has addresses; take the interface down first"},
                {"guest", "a Xen guest has it; detach it first"},
                {"process", "a program has it open; end the program, or give --in-use"},
                {"interface", "an interface of it is up; take it down, or give --in-use"},
                {"hidden",
                 "a network driver is bound and no interface is seen, which may be in a container; "
                 "bring it back, or give --in-use"},
                {"vfio", "a program or its guest works on it through VFIO; end it first"},
                {"driver", "a driver of the host is bound to it; unbind it, or give --in-use"},
        };
        const char *words = look_up(table, ELEMENTSOF(table), kind);

        if (words)
                return words;
        return hard ? "a use that this client does not know, and that no option goes past: see pciresetd(8)"
                    : "a use that this client does not know: see pciresetd(8)";
}

const char *phase_to_words(const char *phase)
{
        static const Words table[] = {
                {"authorizing", "waiting for authorisation"},
                {"queued", "waiting for another reset to end"},
                {"inhibited", "held up by an inhibitor"},
                {"waiting_idle", "waiting until nobody uses the device"},
        };
        const char *words = look_up(table, ELEMENTSOF(table), phase);

        return words ? words : phase;
}

const char *errno_name(int error)
{
        return error > 0 ? strerrorname_np(error) : NULL;
}

static int print_attempt(FILE *stream, json_object *attempt)
{
        int error = (int) json_get_signed(attempt, "errno");
        uint64_t started = json_get_unsigned(attempt, "started_usec"),
                 finished = json_get_unsigned(attempt, "finished_usec");
        const char *why = json_get_string(attempt, "why"), *verdict = json_get_string(attempt, "verdict");
        const char *name = errno_name(error), *message = error > 0 ? strerror(error) : "";
        char took[TEXT_DURATION_MAX] = "", number[16] = "";
        bool has_took = started > 0 && finished >= started;

        if (error != 0 && !name) {
                (void) snprintf(number, sizeof(number), "errno %d", error);
                name = number;
        }
        /* That nothing was proved goes without saying where nothing was done. */
        if (strcmp(verdict, "unverified") == 0 && strcmp(json_get_string(attempt, "outcome"), "done") != 0)
                verdict = "";
        if (has_took)
                (void) text_duration(finished - started, took);

        return text_print_line(stream, "  %s: %s%s%s%s%s%s%s%s%s%s%s%s", json_get_string(attempt, "method"),
                               json_get_string(attempt, "outcome"), has_took ? " after " : "", took,
                               *verdict ? ", verified: " : "", verdict, *why ? ": " : "", why,
                               error > 0 ? ": " : "", message, name ? " (" : "", name ? name : "",
                               name ? ")" : "");
}

static int print_check(FILE *stream, json_object *check)
{
        const char *before = json_get_string(check, "before"), *after = json_get_string(check, "after");
        _cleanup_free_ char *device = device_path_to_address(json_get_string(check, "device"));

        if (!device)
                return -ENOMEM;
        return text_print_line(stream, "  check %s of %s failed%s%s%s%s", json_get_string(check, "check"),
                               device, *before ? ": before " : "", before, *after ? ", after " : "", after);
}

/* What was written to `reset_method` for the reset should be gone again. */
static int print_method_list(FILE *stream, json_object *attempt)
{
        static const Words table[] = {
                {"reduced", "its old method list is back without the names that the kernel refuses now"},
                {"default", "the kernel refused its old method list and now has its default list"},
                {"lost", "its old method list could not be written back: see its reset_method in sysfs"},
        };
        const char *words = look_up(table, ELEMENTSOF(table), json_get_string(attempt, "reset_method"));

        return words ? text_print_line(stream, "  after %s %s", json_get_string(attempt, "method"), words)
                     : 0;
}

static bool attempt_failed(json_object *attempt)
{
        return strcmp(json_get_string(attempt, "outcome"), "done") != 0 ||
               strcmp(json_get_string(attempt, "verdict"), "ok") != 0;
}

/* Did anything reach the device? What was turned down before is in the daemon's message. */
static bool any_attempt_ran(json_object *attempts)
{
        for (size_t i = 0; i < json_length(attempts); i++) {
                json_object *attempt = json_object_array_get_idx(attempts, i);

                if (json_get_unsigned(attempt, "started_usec") > 0 || json_get_signed(attempt, "errno") != 0)
                        return true;
        }
        return false;
}

int print_evidence(FILE *stream, json_object *result, bool only_failed)
{
        json_object *attempts = json_get_array(result, "attempts"),
                    *checks = json_get_array(result, "checks");
        int r;

        for (size_t i = 0; i < json_length(attempts) && any_attempt_ran(attempts); i++) {
                json_object *attempt = json_object_array_get_idx(attempts, i);

                r = only_failed && !attempt_failed(attempt) ? 0 : print_attempt(stream, attempt);
                if (r >= 0)
                        r = print_method_list(stream, attempt);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < json_length(checks); i++) {
                json_object *check = json_object_array_get_idx(checks, i);

                if (strcmp(json_get_string(check, "result"), "failed") != 0)
                        continue;
                r = print_check(stream, check);
                if (r < 0)
                        return r;
        }
        return 0;
}
