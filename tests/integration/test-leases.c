/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Leases: what is in one is its holder's alone, for as long as a copy of its descriptor is open, whoever has
 * it and whatever becomes of the daemon meanwhile.
 */

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_TAKEN    "44fe8df151c542daba06053e0b4dc917"
#define MESSAGE_ID_RELEASED "fab2e094bf0f401789409f7727a1bb05"

/* Whose lease refused it: the only one. */
static void expect_owner(const Reply *refused, const char *address, const char *id, uid_t uid)
{
        _cleanup_free_ char *owner = textf("uid:%u", uid);

        ck_assert_uint_eq(reply_length(refused, "1.owners"), 1);
        ck_assert_str_eq(reply_string(refused, "1.owners.0.device"), device_path(address));
        ck_assert_str_eq(reply_string(refused, "1.owners.0.owner"), owner);
        ck_assert_str_eq(reply_string(refused, "1.owners.0.lease"), id);
        ck_assert_int_eq(reply_number(refused, "1.owners.0.uid"), uid);
        ck_assert_str_eq(reply_string(refused, "1.owners.0.who"), "a test");
        ck_assert_uint_eq(reply_length(refused, "1.inhibitors"), 0);
}

/* alice has the lease. */
static void expect_refused(Client *client, const char *address, const char *id)
{
        _cleanup_reply_ Reply *reply = reset(client, address, "flr", NULL);

        expect_error(reply, "Leased", address);
        expect_error(reply, "Leased", id);
        expect_error(reply, "Leased", "a test");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "leased");
        expect_owner(reply, address, id, UID_ALICE);
        ck_assert_uint_eq(model_count("begin", address), 0);
}

static void expect_reset(Client *client, const char *address)
{
        _cleanup_reply_ Reply *reply = reset(client, address, "flr", NULL);

        expect_success(reply);
        ck_assert_uint_eq(reply_length(reply, "0.owners"), 0);
}

/* ---- whose devices they are ---- */

START_TEST(others_are_refused)
{
        _cleanup_reply_ Reply *list = NULL, *plan = NULL;
        _cleanup_free_ char *id = NULL;
        int lease;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        expect_lease(CARD, id);
        expect_lease(CARD2, "");
        expect_refused(bob, CARD, id);
        /* Root is somebody else, too. */
        expect_refused(observer, CARD, id);

        list = claims_list("ListLeases");
        ck_assert_uint_eq(reply_length(list, "0"), 1);
        ck_assert_str_eq(reply_string(list, "0.0.id"), id);
        ck_assert_int_eq(reply_number(list, "0.0.uid"), UID_ALICE);
        ck_assert_str_eq(reply_string(list, "0.0.who"), "a test");
        ck_assert_str_eq(reply_string(list, "0.0.why"), "to see what happens");
        ck_assert_int_gt(reply_number(list, "0.0.since"), 0);
        ck_assert_str_eq(reply_string(list, "0.0.devices.0"), CARD);

        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.why.0"), "leased");
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.lease"), id);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.owner"), "uid:1001");

        expect_reset(alice, CARD);
        expect_reset(bob, CARD2);

        claim_release(&lease);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Lease\"");
        claims_wait("ListLeases", 0);
        expect_lease(CARD, "");
        expect_reset(bob, CARD);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_TAKEN, "PCIRESETD_CLAIM", id,
                                        "PCIRESETD_DEVICE", CARD, "PCIRESETD_UID", "1001", NULL),
                          1);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_RELEASED, "PCIRESETD_CLAIM", id, NULL), 1);
}
END_TEST

/* The lease was authorised; what one owns one may reset, unless an administrator says otherwise. */
START_TEST(owner_needs_no_other_permission)
{
        _cleanup_reply_ Reply *reply = NULL, *refused = NULL;
        int lease;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    if (action.id == 'org.pciresetd1.acquire' && subject.user == 'alice' &&\n"
                     "        action.lookup('devices') == '" CARD "' && action.lookup('device') == '" CARD
                     "' &&\n"
                     "        action.lookup('driver') == '' && action.lookup('class') == '0x020000')\n"
                     "        return polkit.Result.YES;\n"
                     "});\n");
        fixture_devices();
        fixture_start();
        refused = reset(alice, CARD, "flr", NULL);
        expect_error(refused, ERROR_INTERACTIVE, "org.pciresetd1.reset");
        lease = lease_take(alice, CARD, NULL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        claim_release(&lease);
}
END_TEST

START_TEST(lease_needs_permission)
{
        _cleanup_reply_ Reply *reply = NULL, *list = NULL;

        fixture_devices();
        fixture_start();
        reply = call_finish(acquire_start(bob, card_alone));
        expect_error(reply, ERROR_ACCESS_DENIED, "org.pciresetd1.acquire");
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        list = claims_list("ListLeases");
        ck_assert_uint_eq(reply_length(list, "0"), 0);
}
END_TEST

START_TEST(all_or_none)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *id = NULL;
        int lease;

        start_for_everybody();
        lease = lease_take(bob, CARD2, &id);
        reply = call_finish(acquire_start(alice, both_cards));
        expect_error(reply, "Leased", CARD2);
        expect_error(reply, "Leased", id);
        expect_lease(CARD, "");
        claim_release(&lease);
        claims_wait("ListLeases", 0);
        lease = claim_finish(acquire_start(alice, both_cards), NULL);
        /* One's own lease is in one's way, too. */
        reply_free(reply);
        reply = call_finish(acquire_start(alice, card_alone));
        expect_error(reply, "Leased", CARD);
        claim_release(&lease);
}
END_TEST

/* Two functions below one bridge, which has `reset_subordinate`. */
START_TEST(reset_of_both_needs_both)
{
        const char *const functions[] = {CARD, FUNCTION1, NULL};
        const MockDevice second = {.address = FUNCTION1, .parent = PORT, .methods = "flr"};
        _cleanup_reply_ Reply *refused = NULL, *plan = NULL, *of_root = NULL;
        _cleanup_free_ char *id = NULL, *other_id = NULL;
        int lease, other;

        sysfs_add(&mock_port);
        sysfs_set(PORT, "reset_subordinate", "%s", "");
        sysfs_add(&mock_card);
        sysfs_add(&second);
        polkit_start(polkit_rules_everybody);
        fixture_start();

        lease = lease_take(alice, CARD, &id);
        other = lease_take(bob, FUNCTION1, &other_id);
        refused = reset(alice, CARD, "subordinate", NULL);
        expect_error(refused, "Leased", FUNCTION1);
        expect_owner(refused, FUNCTION1, other_id, UID_BOB);
        /* A lease on what it does not disturb is not in the way. */
        expect_refused(observer, CARD, id);
        of_root = reset(observer, CARD, "subordinate", NULL);
        expect_error(of_root, "Leased", id);
        expect_error(of_root, "Leased", other_id);
        ck_assert_uint_eq(reply_length(of_root, "1.owners"), 2);
        ck_assert_str_eq(reply_string(of_root, "1.owners.0.lease"), id);
        ck_assert_str_eq(reply_string(of_root, "1.owners.1.lease"), other_id);
        expect_nothing_written();
        claim_release(&other);
        claim_release(&lease);
        claims_wait("ListLeases", 0);

        lease = claim_finish(acquire_start(alice, functions), NULL);
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, "subordinate", 0);
        expect_success(plan);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 2);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.owners"), 2);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset-owned");
        claim_release(&lease);
}
END_TEST

/* ---- the descriptor ---- */

static void keep(int fd)
{
        (void) fd;
        for (;;)
                (void) pause();
}

START_TEST(a_copy_keeps_it)
{
        _cleanup_free_ char *id = NULL;
        Process *holder;
        int lease;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        holder = process_fork("holder", UID_BOB, keep, lease);
        claim_release(&lease);
        /* Whoever asked for it may leave as well. */
        alice = client_free(alice);
        client_barrier(observer);
        expect_refused(bob, CARD, id);
        holder = process_free(holder);
        claims_wait("ListLeases", 0);
        expect_reset(bob, CARD);
}
END_TEST

START_TEST(a_copy_can_be_shown)
{
        _cleanup_reply_ Reply *shown = NULL, *named = NULL, *other = NULL;
        _cleanup_free_ char *id = NULL;
        size_t n_open;
        int lease;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        /* The first call with a timeout leaves the loop's clock behind. */
        expect_reset(alice, CARD);
        n_open = daemon_descriptors();
        shown = reset(bob, CARD, "flr", "lease_fd", "h", lease, NULL);
        expect_success(shown);
        named = reset(bob, CARD, "flr", "lease", "s", id, "lease_fd", "h", lease, NULL);
        expect_success(named);
        /* It is about CARD alone. */
        other = reset(bob, CARD2, "flr", "lease", "s", id, "lease_fd", "h", lease, NULL);
        expect_error(other, "Leased", id);
        ck_assert_uint_eq(reply_length(other, "1.owners"), 0);
        client_barrier(observer);
        /* A thread may have had a file open when they were counted, or have one now. */
        wait_until(daemon_descriptors() <= n_open);
        /* Nor does the daemon keep it alive. */
        claim_release(&lease);
        claims_wait("ListLeases", 0);
}
END_TEST

START_TEST(ids_are_no_secrets)
{
        _cleanup_reply_ Reply *foreign = NULL, *unknown = NULL, *no_lease = NULL, *own = NULL;
        _cleanup_reply_ Reply *inhibitors = NULL;
        _cleanup_free_ char *id = NULL;
        int lease, inhibitor;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        foreign = reset(bob, CARD, "flr", "lease", "s", id, NULL);
        expect_error(foreign, "Leased", id);
        unknown = reset(alice, CARD, "flr", "lease", "s", "abcdefghijkl", NULL);
        expect_error(unknown, "Leased", "abcdefghijkl");
        inhibitor = inhibitor_take(alice, CARD2, "block");
        inhibitors = claims_list("ListInhibitors");
        no_lease = reset(alice, CARD, "flr", "lease", "s", reply_string(inhibitors, "0.0.id"), NULL);
        expect_error(no_lease, "Leased", reply_string(inhibitors, "0.0.id"));
        expect_nothing_written();
        own = reset(alice, CARD, "flr", "lease", "s", id, NULL);
        expect_success(own);
        claim_release(&inhibitor);
        claim_release(&lease);
}
END_TEST

/* GetMethods, as it is answered to one: the first method is `flr`. */
static void expect_judged(Reply *methods, bool is_leased)
{
        expect_success(methods);
        ck_assert_str_eq(reply_string(methods, "0.0.0"), "flr");
        ck_assert_int_eq(json_object_get_boolean(reply_at(methods, "0.0.1.usable")), !is_leased);
        ck_assert_uint_eq(reply_length(methods, "0.0.1.why"), is_leased ? 1 : 0);
        if (is_leased)
                ck_assert_str_eq(reply_string(methods, "0.0.1.why.0"), "leased");
}

START_TEST(methods_are_judged_for_who_asks)
{
        _cleanup_reply_ Reply *own = NULL, *foreign = NULL, *root = NULL, *shown = NULL, *named = NULL,
                              *elsewhere = NULL, *without = NULL, *after = NULL;
        _cleanup_free_ char *id = NULL;
        int lease;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        own = manager_call(alice, "GetMethods", "sa{sv}", CARD, 0);
        expect_judged(own, false);
        foreign = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        expect_judged(foreign, true);
        root = manager_call(observer, "GetMethods", "sa{sv}", CARD, 0);
        expect_judged(root, true);
        shown = manager_call(bob, "GetMethods", "sa{sv}", CARD, 1, "lease_fd", "h", lease);
        expect_judged(shown, false);
        named = manager_call(bob, "GetMethods", "sa{sv}", CARD, 1, "lease", "s", id);
        expect_error(named, "Leased", id);
        /* Relied on where it does not hold. */
        elsewhere = manager_call(alice, "GetMethods", "sa{sv}", CARD2, 1, "lease", "s", id);
        expect_success(elsewhere);
        ck_assert_str_eq(reply_string(elsewhere, "0.0.1.why.0"), "lease-gone");
        without = manager_call(bob, "GetMethods", "sa{sv}", CARD2, 0);
        expect_judged(without, false);

        claim_release(&lease);
        claims_wait("ListLeases", 0);
        after = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        expect_judged(after, false);
        expect_nothing_written();
}
END_TEST

START_TEST(other_descriptors_are_no_leases)
{
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC), inhibitor = -EBADF;
        _cleanup_reply_ Reply *reply = NULL, *of_inhibitor = NULL;
        size_t n_open;

        start_for_everybody();
        inhibitor = inhibitor_take(alice, CARD2, "block");
        n_open = daemon_descriptors();
        reply = reset(alice, CARD, "flr", "lease_fd", "h", null, NULL);
        expect_error(reply, ERROR_INVALID_ARGS, "lease_fd");
        of_inhibitor = reset(alice, CARD, "flr", "lease_fd", "h", inhibitor, NULL);
        expect_error(of_inhibitor, ERROR_INVALID_ARGS, "lease_fd");
        expect_nothing_written();
        client_barrier(observer);
        /* A thread may have had a file open when they were counted, or have one now. */
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

/* ---- the daemon goes and comes ---- */

static const bool daemon_is_killed[] = {false, true};

static void restart(bool killed)
{
        if (killed)
                daemon_kill();
        else
                daemon_stop();
        daemon_start();
}

START_TEST(survives_a_restart)
{
        _cleanup_free_ char *id = NULL;
        int lease;

        start_for_everybody();
        lease = claim_finish(acquire_start(alice, both_cards), &id);
        restart(daemon_is_killed[_i]);
        expect_lease(CARD, id);
        expect_lease(CARD2, id);
        expect_refused(bob, CARD, id);
        expect_reset(alice, CARD);
        claim_release(&lease);
        claims_wait("ListLeases", 0);
        expect_reset(bob, CARD2);
}
END_TEST

START_TEST(holder_dies_while_the_daemon_is_down)
{
        _cleanup_free_ char *id = NULL, *kept_id = NULL;
        _cleanup_reply_ Reply *list = NULL;
        Process *holder;
        int lease, kept;

        start_for_everybody();
        kept = lease_take(bob, CARD2, &kept_id);
        lease = lease_take(alice, CARD, &id);
        holder = process_fork("holder", UID_ALICE, keep, lease);
        claim_release(&lease);
        client_barrier(observer);
        if (daemon_is_killed[_i])
                daemon_kill();
        else
                daemon_stop();
        holder = process_free(holder);
        daemon_start();
        list = claims_list("ListLeases");
        ck_assert_uint_eq(reply_length(list, "0"), 1);
        ck_assert_str_eq(reply_string(list, "0.0.id"), kept_id);
        expect_lease(CARD, "");
        expect_lease(CARD2, kept_id);
        expect_reset(bob, CARD);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_RELEASED, "PCIRESETD_CLAIM", id, NULL), 1);
        claim_release(&kept);
}
END_TEST

/* A device that comes back is in the lease; a stranger in its place is not. */
START_TEST(follows_its_device)
{
        MockDevice stranger = mock_card;
        _cleanup_free_ char *id = NULL;
        int lease;

        start_for_everybody();
        lease = lease_take(alice, CARD, &id);
        hotplug_remove(CARD);
        hotplug_add(&mock_card);
        client_barrier(observer);
        wait_until(signal_find("InterfacesAdded", NULL, device_path(CARD)));
        expect_lease(CARD, id);
        hotplug_remove(CARD);
        stranger.device = 0x4711;
        hotplug_add(&stranger);
        wait_until(signal_count("InterfacesAdded", NULL, device_path(CARD)) == 2);
        expect_lease(CARD, "");
        claim_release(&lease);
        claims_wait("ListLeases", 0);
}
END_TEST

/* ---- a reset that waits ---- */

/* bob was allowed to reset it when it was nobody's. */
START_TEST(lease_comes_while_a_reset_is_queued)
{
        _cleanup_reply_ Reply *reply = NULL, *first_reply = NULL;
        Call *first, *queued;
        int hold, lease;

        polkit_start(polkit_rules_everybody);
        start_with_two_functions();
        hold = reset_hold(&first);
        queued = reset_start(bob, FUNCTION1, "flr", NULL);
        (void) signal_wait("JobNew", NULL, FUNCTION1);
        lease = lease_take(alice, FUNCTION1, NULL);
        model_release(&hold);
        first_reply = call_finish(first);
        expect_success(first_reply);
        reply = call_finish(queued);
        expect_error(reply, "Leased", FUNCTION1);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        claim_release(&lease);
}
END_TEST

/* Whoever has a lease relies on nobody else's reset being under way. */
START_TEST(not_while_somebody_else_resets_it)
{
        _cleanup_reply_ Reply *reply = NULL, *refused = NULL, *both = NULL;
        int hold, lease, other;
        Call *first;

        start_for_everybody();
        hold = reset_hold(&first);
        refused = call_finish(acquire_start(bob, card_alone));
        expect_error(refused, "InUse", CARD);
        both = call_finish(acquire_start(bob, both_cards));
        expect_error(both, "InUse", CARD);
        claims_wait("ListLeases", 0);
        other = lease_take(bob, CARD2, NULL);
        claim_release(&other);
        /* Her own. */
        lease = lease_take(alice, CARD, NULL);
        claim_release(&lease);
        claims_wait("ListLeases", 0);
        model_release(&hold);
        reply = call_finish(first);
        expect_success(reply);
        lease = lease_take(bob, CARD, NULL);
        claim_release(&lease);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("leases");

        program_add(&program, others_are_refused);
        program_add(&program, owner_needs_no_other_permission);
        program_add(&program, lease_needs_permission);
        program_add(&program, all_or_none);
        program_add(&program, reset_of_both_needs_both);
        program_add(&program, a_copy_keeps_it);
        program_add(&program, a_copy_can_be_shown);
        program_add(&program, ids_are_no_secrets);
        program_add(&program, methods_are_judged_for_who_asks);
        program_add(&program, other_descriptors_are_no_leases);
        program_add_table(&program, survives_a_restart, daemon_is_killed);
        program_add_table(&program, holder_dies_while_the_daemon_is_down, daemon_is_killed);
        program_add(&program, follows_its_device);
        program_add(&program, lease_comes_while_a_reset_is_queued);
        program_add(&program, not_while_somebody_else_resets_it);
        return program_run(&program);
}
