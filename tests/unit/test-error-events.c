/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What follows from errors that the kernel announces, with looks, time and the policy in the test's own
 * hand.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/error-events.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "world.h"

#define CARD    "0000:01:00.0"
#define SIBLING "0000:01:00.1"
#define OTHER   "0000:02:00.0"
#define PORT    "0000:00:01.0"

static World world;
static Quarantines *quarantines;
static ErrorEvents *events;

static struct {
        uint64_t now, wait; /* boottime, and what the timer was set to */
        unsigned n_looks, n_notes, n_recovered;
        WorkerRequest looks[64];
        PciAddress looked_at[64];
        ErrorNote note; /* the last one, */
        char event[WORKER_VALUE_MAX]; /* and its text */
        PciAddress recovered;
        int recover_result;
        int look_result;
} seen;

static int look(void *userdata, const WorkerRequest *request)
{
        if (seen.look_result < 0)
                return seen.look_result;
        ck_assert_int_eq(request->operation, WORKER_HEALTH);
        ck_assert_uint_eq(request->n_members, 1);
        seen.looked_at[seen.n_looks] = request->members[0].address;
        seen.looks[seen.n_looks++] = *request;
        return 0;
}

static void note(void *userdata, const Device *device, const ErrorNote *note)
{
        seen.n_notes++;
        seen.note = *note;
        (void) snprintf(seen.event, sizeof(seen.event), "%s", note->event ? note->event : "");
}

static void wait_for(void *userdata, uint64_t usec)
{
        seen.wait = usec;
}

static int recover(void *userdata, Device *device, const PolicyRule *rule)
{
        ck_assert_ptr_nonnull(rule);
        seen.n_recovered++;
        seen.recovered = device->facts.address;
        return seen.recover_result;
}

static uint64_t now(void *userdata)
{
        return seen.now;
}

static uint32_t new_id(void *userdata)
{
        static uint32_t last;

        return ++last;
}

static void setup(void)
{
        const ErrorPorts ports = {
                .look = look,
                .note = note,
                .wait = wait_for,
                .recover = recover,
                .now_realtime = now,
                .now_boottime = now,
                .new_id = new_id,
        };

        memset(&seen, 0, sizeof(seen));
        seen.now = 1000000;
        world_init(&world);
        world_add_bridge(&world, PORT, NULL);
        world_add(&world, CARD, PORT, "", "flr");
        world_add(&world, SIBLING, PORT, "", "flr");
        world_add(&world, OTHER, NULL, "", "flr");
        ck_assert_int_eq(quarantines_new(world.registry, &quarantines), 0);
        ck_assert_int_eq(error_events_new(world.registry, quarantines, &ports, &events), 0);
}

static void teardown(void)
{
        events = error_events_free(events);
        quarantines = quarantines_free(quarantines);
        world_done(&world);
}

static Device *device(const char *address)
{
        return world_find(&world, address);
}

static void announce(const char *address, ErrorEventType type)
{
        ErrorEvent event = {.type = type};

        (void) snprintf(event.text, sizeof(event.text), "told %d", type);
        error_events_take(events, device(address), &event);
}

/* The index-th look ends so. */
static void found(size_t index, Verdict verdict)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        result->outcome = WORKER_DONE;
        result->verdict = verdict;
        result->checks = calloc(1, sizeof(WorkerCheck));
        ck_assert_ptr_nonnull(result->checks);
        result->checks[0] = (WorkerCheck){.device = seen.looked_at[index],
                                          .check = "bars",
                                          .result = verdict == VERDICT_OK ? CHECK_OK : CHECK_FAILED,
                                          .before = "0x1000",
                                          .after = "0x0"};
        result->n_checks = 1;
        error_events_looked(events, seen.looks[index].job, result);
}

static void expect(const char *address, const char *state)
{
        ck_assert_str_eq(error_state_to_string(device(address)->error_state), state);
}

static void hold_to(PolicyOnError on_error)
{
        Policy *policy = policy_new();
        PolicyRule rule = {.id = "one", .file = strdup("/etc/50.json")};

        rule.settings.set = 1U << POLICY_ON_ERROR;
        rule.settings.on_error = on_error;
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        registry_set_policy(world.registry, policy, "6.1.0");
}

/* ---- what is announced ---- */

static const struct {
        const char *error_event, *wedged;
        bool is_known;
        ErrorEventType type;
        const char *text;
} words[] = {
        {"BEGIN_RECOVERY", NULL, true, ERROR_EVENT_BEGIN, "ERROR_EVENT=BEGIN_RECOVERY"},
        {"SUCCESSFUL_RECOVERY", NULL, true, ERROR_EVENT_SUCCESS, "ERROR_EVENT=SUCCESSFUL_RECOVERY"},
        {"FAILED_RECOVERY", NULL, true, ERROR_EVENT_FAILURE, "ERROR_EVENT=FAILED_RECOVERY"},
        {"begin_recovery", NULL, false, 0, NULL},
        {"NEW_WORD", NULL, false, 0, NULL},
        {"", NULL, false, 0, NULL},
        {NULL, NULL, false, 0, NULL},
        {NULL, "rebind,bus-reset", true, ERROR_EVENT_WEDGED, "WEDGED=rebind,bus-reset"},
        {NULL, "vendor-specific", true, ERROR_EVENT_WEDGED, "WEDGED=vendor-specific"},
        {NULL, "", true, ERROR_EVENT_WEDGED, "WEDGED="},
        {NULL, "none", true, ERROR_EVENT_SUCCESS, "WEDGED=none"},
        {NULL, "a\nb", true, ERROR_EVENT_WEDGED, "WEDGED=a?b"},
};

START_TEST(words_are_read)
{
        ErrorEvent event;

        ck_assert_int_eq(error_event_parse(words[_i].error_event, words[_i].wedged, &event),
                         words[_i].is_known);
        if (!words[_i].is_known)
                return;
        ck_assert_int_eq(event.type, words[_i].type);
        ck_assert_str_eq(event.text, words[_i].text);
        ck_assert_uint_eq(event.n_counters, 0);
}
END_TEST

START_TEST(a_long_word_is_cut)
{
        char text[1024];
        ErrorEvent event;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        ck_assert(error_event_parse(NULL, text, &event));
        ck_assert_uint_lt(strlen(event.text), sizeof(event.text));
}
END_TEST

/* ---- states ---- */

static const struct {
        ErrorEventType type;
        Verdict verdict;
        const char *state;
        bool quarantined;
} ends[] = {
        {ERROR_EVENT_SUCCESS, VERDICT_OK, "successful-recovery", false},
        {ERROR_EVENT_SUCCESS, VERDICT_DEGRADED, "successful-recovery-but-degraded", true},
        {ERROR_EVENT_SUCCESS, VERDICT_DEAD, "successful-recovery-but-dead", true},
        {ERROR_EVENT_FAILURE, VERDICT_OK, "failed-recovery", false},
        {ERROR_EVENT_FAILURE, VERDICT_DEGRADED, "failed-recovery", true},
        {ERROR_EVENT_WEDGED, VERDICT_OK, "wedged", false},
        {ERROR_EVENT_WEDGED, VERDICT_DEAD, "wedged", true},
};

START_TEST(an_end_is_looked_at)
{
        announce(CARD, ERROR_EVENT_BEGIN);
        expect(CARD, "begin-recovery");
        ck_assert(device_is_recovering(device(CARD)) && device_is_recovering(device(SIBLING)));
        ck_assert(!device_is_recovering(device(OTHER)) && !device_is_recovering(device(PORT)));
        ck_assert_uint_eq(seen.n_looks, 0);
        announce(CARD, ends[_i].type);
        ck_assert(!device_is_recovering(device(CARD)) && !device_is_recovering(device(SIBLING)));
        ck_assert_uint_eq(seen.n_looks, 1);
        ck_assert(seen.looks[0].has_bridge);
        found(0, ends[_i].verdict);
        expect(CARD, ends[_i].state);
        ck_assert_int_eq(!!device(CARD)->quarantine, ends[_i].quarantined);
        ck_assert_uint_eq(seen.n_notes, 3);
        ck_assert_int_eq(seen.note.verdict, ends[_i].verdict);
        ck_assert_str_eq(error_state_to_string(seen.note.state), ends[_i].state);
        ck_assert_ptr_null(device(SIBLING)->quarantine);
        if (ends[_i].quarantined)
                ck_assert_int_eq(device(CARD)->quarantine->record.cause, QUARANTINE_ERROR);
}
END_TEST

/* What was seen while the next recovery has begun says nothing; the look after that does. */
START_TEST(the_next_error_comes_during_the_look)
{
        announce(CARD, ERROR_EVENT_SUCCESS);
        announce(CARD, ERROR_EVENT_BEGIN);
        found(0, VERDICT_DEAD);
        expect(CARD, "begin-recovery");
        ck_assert_ptr_null(device(CARD)->quarantine);
        announce(CARD, ERROR_EVENT_SUCCESS);
        ck_assert_uint_eq(seen.n_looks, 2);
        /* Two ends during one look: there is one more. */
        announce(CARD, ERROR_EVENT_FAILURE);
        ck_assert_uint_eq(seen.n_looks, 2);
        found(1, VERDICT_DEAD);
        ck_assert_ptr_null(device(CARD)->quarantine);
        ck_assert_uint_eq(seen.n_looks, 3);
        found(2, VERDICT_OK);
        expect(CARD, "failed-recovery");
        ck_assert_uint_eq(seen.n_looks, 3);
}
END_TEST

START_TEST(another_device_in_its_place)
{
        announce(CARD, ERROR_EVENT_SUCCESS);
        world_replace(&world, CARD);
        found(0, VERDICT_DEAD);
        expect(CARD, "");
        ck_assert_ptr_null(device(CARD)->quarantine);
}
END_TEST

START_TEST(a_look_that_fails)
{
        seen.look_result = -EAGAIN;
        announce(CARD, ERROR_EVENT_SUCCESS);
        expect(CARD, "successful-recovery");
        seen.look_result = 0;
        announce(CARD, ERROR_EVENT_SUCCESS);
        ck_assert_uint_eq(seen.n_looks, 1);
        error_events_looked(events, seen.looks[0].job, NULL);
        expect(CARD, "successful-recovery");
        announce(CARD, ERROR_EVENT_SUCCESS);
        ck_assert_uint_eq(seen.n_looks, 2);
}
END_TEST

/* The proof of the reset decides. */
START_TEST(in_a_reset_of_ours)
{
        hold_to(POLICY_ON_ERROR_QUARANTINE);
        device(CARD)->n_resetting = 1;
        announce(CARD, ERROR_EVENT_BEGIN);
        announce(CARD, ERROR_EVENT_FAILURE);
        found(0, VERDICT_DEAD);
        ck_assert_ptr_null(device(CARD)->quarantine);
        device(CARD)->n_resetting = 0;
}
END_TEST

/* Older kernels tell the failure of the port alone. */
START_TEST(a_failure_of_the_port)
{
        announce(CARD, ERROR_EVENT_BEGIN);
        announce(PORT, ERROR_EVENT_FAILURE);
        expect(CARD, "failed-recovery");
        expect(SIBLING, "failed-recovery");
        expect(OTHER, "");
        ck_assert_uint_eq(seen.wait, 0);
        ck_assert_uint_eq(seen.n_looks, 3);
        for (unsigned i = 0; i < 3; i++)
                found(i, pci_address_equal(&seen.looked_at[i], &device(SIBLING)->facts.address)
                                 ? VERDICT_DEGRADED
                                 : VERDICT_OK);
        ck_assert_ptr_nonnull(device(SIBLING)->quarantine);
        ck_assert_ptr_null(device(CARD)->quarantine);
        ck_assert_ptr_null(device(PORT)->quarantine);
}
END_TEST

START_TEST(a_bridge_is_only_told_of)
{
        hold_to(POLICY_ON_ERROR_QUARANTINE);
        announce(PORT, ERROR_EVENT_BEGIN);
        ck_assert_ptr_null(device(PORT)->quarantine);
        announce(PORT, ERROR_EVENT_FAILURE);
        found(0, VERDICT_DEGRADED);
        expect(PORT, "failed-recovery");
        ck_assert_ptr_null(device(PORT)->quarantine);
}
END_TEST

/* ---- bounds ---- */

START_TEST(no_end_is_told)
{
        announce(CARD, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.wait, RECOVERY_USEC_MAX);
        seen.now += 100000000;
        announce(OTHER, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.wait, RECOVERY_USEC_MAX - 100000000);
        /* The same word again does not make it longer. */
        announce(CARD, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.wait, RECOVERY_USEC_MAX - 100000000);
        seen.now += RECOVERY_USEC_MAX - 100000000;
        error_events_time_over(events);
        expect(CARD, "unfinished-recovery");
        expect(OTHER, "begin-recovery");
        ck_assert(!device_is_recovering(device(SIBLING)));
        ck_assert_uint_eq(seen.wait, 100000000);
        ck_assert_uint_eq(seen.n_looks, 1);
        found(0, VERDICT_DEGRADED);
        expect(CARD, "unfinished-recovery");
        ck_assert_ptr_nonnull(device(CARD)->quarantine);
        /* And nothing is timed when nothing recovers. */
        announce(OTHER, ERROR_EVENT_SUCCESS);
        ck_assert_uint_eq(seen.wait, 0);
}
END_TEST

START_TEST(few_looks_at_a_time)
{
        char address[PCI_ADDRESS_STRING_MAX];

        for (unsigned i = 0; i < 16; i++) {
                (void) snprintf(address, sizeof(address), "0000:03:%02x.0", i);
                world_add(&world, address, NULL, "", "flr");
                announce(address, ERROR_EVENT_SUCCESS);
        }
        ck_assert_uint_eq(seen.n_looks, ERROR_LOOKS_MAX);
        registry_remove(world.registry, &seen.looked_at[0], 0);
        for (unsigned i = 0; i < 16; i++) {
                ck_assert_uint_le(seen.n_looks, i + ERROR_LOOKS_MAX);
                found(i, VERDICT_OK);
        }
        ck_assert_uint_eq(seen.n_looks, 16);
}
END_TEST

START_TEST(a_storm_is_cut)
{
        for (unsigned i = 0; i < 100; i++)
                announce(CARD, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.n_notes, ERROR_NOTES_MAX);
        announce(OTHER, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.n_notes, ERROR_NOTES_MAX + 1);
        seen.now += ERROR_NOTES_USEC;
        announce(CARD, ERROR_EVENT_BEGIN);
        ck_assert_uint_eq(seen.n_notes, ERROR_NOTES_MAX + 2);
        ck_assert_uint_eq(seen.note.n_left_out, 100 - ERROR_NOTES_MAX);
}
END_TEST

/* ---- the policy ---- */

static const struct {
        PolicyOnError on_error;
        ErrorEventType type;
        Verdict verdict;
        bool quarantined;
        unsigned recovered;
} rules[] = {
        {POLICY_ON_ERROR_NOTIFY, ERROR_EVENT_SUCCESS, VERDICT_DEAD, false, 0},
        {POLICY_ON_ERROR_NOTIFY, ERROR_EVENT_FAILURE, VERDICT_DEGRADED, false, 0},
        {POLICY_ON_ERROR_QUARANTINE, ERROR_EVENT_SUCCESS, VERDICT_OK, true, 0},
        {POLICY_ON_ERROR_QUARANTINE, ERROR_EVENT_WEDGED, VERDICT_DEGRADED, true, 0},
        {POLICY_ON_ERROR_RECOVER, ERROR_EVENT_SUCCESS, VERDICT_OK, false, 0},
        {POLICY_ON_ERROR_RECOVER, ERROR_EVENT_SUCCESS, VERDICT_DEGRADED, true, 1},
        {POLICY_ON_ERROR_RECOVER, ERROR_EVENT_FAILURE, VERDICT_OK, true, 1},
        {POLICY_ON_ERROR_RECOVER, ERROR_EVENT_WEDGED, VERDICT_OK, true, 1},
        {POLICY_ON_ERROR_RECOVER, ERROR_EVENT_WEDGED, VERDICT_DEAD, true, 1},
};

START_TEST(a_rule_is_followed)
{
        hold_to(rules[_i].on_error);
        announce(CARD, ERROR_EVENT_BEGIN);
        ck_assert_int_eq(!!device(CARD)->quarantine, rules[_i].on_error == POLICY_ON_ERROR_QUARANTINE);
        announce(CARD, rules[_i].type);
        ck_assert_uint_eq(seen.n_recovered, 0);
        found(0, rules[_i].verdict);
        ck_assert_int_eq(!!device(CARD)->quarantine, rules[_i].quarantined);
        ck_assert_uint_eq(seen.n_recovered, rules[_i].recovered);
        if (rules[_i].recovered)
                ck_assert(pci_address_equal(&seen.recovered, &device(CARD)->facts.address));
}
END_TEST

/* What nobody brings back is given to nobody, well or not. */
START_TEST(a_recovery_cannot_begin)
{
        const Verdict verdicts[] = {VERDICT_OK, VERDICT_DEAD};
        const QuarantineRecord *record;

        hold_to(POLICY_ON_ERROR_RECOVER);
        seen.recover_result = -EBUSY;
        announce(CARD, ERROR_EVENT_FAILURE);
        found(0, verdicts[_i]);
        ck_assert_uint_eq(seen.n_recovered, 1);
        ck_assert_ptr_nonnull(device(CARD)->quarantine);
        record = &device(CARD)->quarantine->record;
        ck_assert_int_eq(record->cause, QUARANTINE_ERROR);
        ck_assert_ptr_nonnull(strstr(record->reason, "; " NOT_RECOVERED));
        /* The next word is the next chance. */
        seen.recover_result = 0;
        announce(CARD, ERROR_EVENT_FAILURE);
        found(1, verdicts[_i]);
        ck_assert_uint_eq(seen.n_recovered, 2);
}
END_TEST

/* The first word is what it is in for, until it is found to be broken. */
START_TEST(the_evidence_is_what_was_worst)
{
        const QuarantineRecord *record;

        hold_to(POLICY_ON_ERROR_QUARANTINE);
        announce(CARD, ERROR_EVENT_BEGIN);
        record = &device(CARD)->quarantine->record;
        ck_assert_str_eq(record->checks[0].check, "event");
        announce(CARD, ERROR_EVENT_SUCCESS);
        record = &device(CARD)->quarantine->record;
        ck_assert_str_eq(record->checks[0].after, "told 0");
        found(0, VERDICT_DEGRADED);
        record = &device(CARD)->quarantine->record;
        ck_assert_str_eq(record->checks[0].check, "bars");
        ck_assert_ptr_nonnull(strstr(record->reason, "0x1000"));
        /* By hand is by hand. */
        ck_assert_int_eq(quarantines_end(quarantines, device(CARD), QUARANTINE_RELEASED), 0);
        ck_assert_int_eq(
                quarantines_begin(quarantines, device(CARD),
                                  &(QuarantineRecord){.cause = QUARANTINE_REQUESTED, .reason = "smokes"}, 0),
                0);
        announce(CARD, ERROR_EVENT_FAILURE);
        ck_assert_str_eq(device(CARD)->quarantine->record.reason, "smokes");
}
END_TEST

/* Whoever hears that the recovery is over may go on with any of them. */
static void expect_judged(void *userdata, Device *changed, unsigned changes)
{
        if (changes & DEVICE_CHANGED_ERROR_STATE)
                ck_assert_ptr_nonnull(device(CARD)->quarantine);
}

START_TEST(judged_before_anybody_goes_on)
{
        const RegistryListener listener = {.changed = expect_judged};

        hold_to(POLICY_ON_ERROR_QUARANTINE);
        registry_set_listener(world.registry, &listener);
        announce(PORT, ERROR_EVENT_FAILURE);
        registry_set_listener(world.registry, NULL);
        expect(CARD, "failed-recovery");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("error-events");

        unit_add_table_fixture(suite, setup, teardown, words_are_read, words);
        unit_add_fixture(suite, setup, teardown, a_long_word_is_cut);
        unit_add_table_fixture(suite, setup, teardown, an_end_is_looked_at, ends);
        unit_add_fixture(suite, setup, teardown, the_next_error_comes_during_the_look);
        unit_add_fixture(suite, setup, teardown, another_device_in_its_place);
        unit_add_fixture(suite, setup, teardown, a_look_that_fails);
        unit_add_fixture(suite, setup, teardown, in_a_reset_of_ours);
        unit_add_fixture(suite, setup, teardown, a_failure_of_the_port);
        unit_add_fixture(suite, setup, teardown, judged_before_anybody_goes_on);
        unit_add_fixture(suite, setup, teardown, a_bridge_is_only_told_of);
        unit_add_fixture(suite, setup, teardown, no_end_is_told);
        unit_add_fixture(suite, setup, teardown, few_looks_at_a_time);
        unit_add_fixture(suite, setup, teardown, a_storm_is_cut);
        unit_add_table_fixture(suite, setup, teardown, a_rule_is_followed, rules);
        unit_add_table_fixture(suite, setup, teardown, a_recovery_cannot_begin, ((const int[2]){}));
        unit_add_fixture(suite, setup, teardown, the_evidence_is_what_was_worst);
        return unit_run(suite);
}
