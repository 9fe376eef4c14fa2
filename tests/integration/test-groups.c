/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * VFIO groups: who has one open uses its devices, who shows one owns them, and other descriptors are none.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define GROUP       "12"
#define OTHER_GROUP "17"
#define SECOND      "0000:01:00.1"

static void add_vfio_card(unsigned enable)
{
        const MockDevice card = {.address = CARD,
                                 .parent = PORT,
                                 .methods = "flr",
                                 .driver = "vfio-pci",
                                 .iommu_group = GROUP,
                                 .enable = enable};

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        vfio_group_add(GROUP, NODE_FULL, UID_BOB);
}

START_TEST(an_open_group_is_named)
{
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *reply = NULL, *in_use = NULL, *by_root = NULL, *after = NULL;
        _cleanup_free_ char *name = NULL;

        add_vfio_card(1);
        polkit_start(polkit_rules_everybody);
        fixture_start();
        holder = node_hold("vfio/" GROUP, UID_BOB);
        name = textf("process %d (", holder->pid);
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, "InUse", name);
        expect_error(reply, "InUse", "has /dev/vfio/" GROUP " open");
        expect_process(reply_at(reply, "1.holders.0"), holder, UID_BOB, "vfio", "/dev/vfio/" GROUP);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "vfio-open");
        /* A guest's mappings would go on as if nothing had happened. */
        in_use = reset(bob, CARD, "flr", "in_use", "b", 1, NULL);
        expect_error(in_use, "InUse", name);
        by_root = reset(observer, CARD, "flr", "in_use", "b", 1, NULL);
        expect_error(by_root, "InUse", name);
        expect_nothing_written();

        holder = process_free(holder);
        sysfs_set(CARD, "enable", "0");
        after = reset(alice, CARD, "flr", NULL);
        expect_success(after);
}
END_TEST

/* Whom the node was given to owns the device; that lifts nothing, and selects the polkit action. */
START_TEST(owner_of_the_node)
{
        _cleanup_reply_ Reply *plan = NULL, *other = NULL, *reply = NULL;

        add_vfio_card(0);
        polkit_start("");
        fixture_start();
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset-owned");
        other = manager_call(alice, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(other);
        ck_assert_str_eq(reply_string(other, "0.rungs.0.actions.0"), "org.pciresetd1.reset");
        reply = reset(bob, CARD, "flr", NULL);
        expect_success(reply);
}
END_TEST

/* A look at the device, and the signal that follows it. */
static void expect_owner(const char *owner)
{
        _cleanup_free_ char *part = textf("\"Owner\":\"%s\"", owner), *found = NULL;
        _cleanup_reply_ Reply *holders = get_holders(observer, CARD), *plan = NULL;

        (void) signal_wait("PropertiesChanged", device_path(CARD), part);
        found = get_property_string(observer, device_path(CARD), DEVICE_INTERFACE, "Owner");
        ck_assert_str_eq(found, owner);
        plan = manager_call(observer, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.owners"), *owner ? 1 : 0);
        if (*owner) {
                ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.device"), device_path(CARD));
                ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.owner"), owner);
        }
        signals_forget();
}

/* Whose node it is can be seen by all, and it gives nobody else a right. */
START_TEST(owner_of_the_node_is_told)
{
        _cleanup_free_ char *id = NULL;
        int lease;

        add_vfio_card(0);
        mock_polkit_start(MOCK_POLKIT_NO);
        signals_watch(observer);
        fixture_start();
        expect_owner("uid:1002");
        expect_question(alice, 0, "org.pciresetd1.reset", "uid:1002");
        expect_question(bob, 1, "org.pciresetd1.reset-owned", "uid:1002");

        ck_assert_int_eq(chown("/dev/vfio/" GROUP, UID_ALICE, 0), 0);
        expect_owner("uid:1001");
        expect_question(bob, 2, "org.pciresetd1.reset", "uid:1001");

        /* Who has a lease goes before him. */
        mock_polkit_mode(MOCK_POLKIT_YES);
        lease = lease_take(bob, CARD, &id);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Owner\":\"uid:1002\"");
        claim_release(&lease);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Owner\":\"uid:1001\"");
        signals_forget();

        /* All nodes are root's at first. */
        mock_polkit_mode(MOCK_POLKIT_NO);
        ck_assert_int_eq(chown("/dev/vfio/" GROUP, 0, 0), 0);
        expect_owner("");
        expect_question(alice, 4, "org.pciresetd1.reset", "");
        expect_nothing_written();
}
END_TEST

/* What another driver has is not given away with the group, and the signal for that needs no look. */
START_TEST(owner_goes_with_the_driver)
{
        static const char *const drivers[] = {"pci-stub", "e1000e", "vfio-pci", "pciback"};
        static const char *const owners[] = {"uid:1002", "", "uid:1002", ""};

        add_vfio_card(0);
        signals_watch(observer);
        fixture_start();
        expect_owner("uid:1002");
        for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
                sysfs_unbind(CARD);
                sysfs_bind(CARD, drivers[i]);
                uevent("change", CARD, NULL);
                expect_owner(owners[i]);
        }
}
END_TEST

static Call *call_with_fds(Client *client, const char *member, const char *method, const int fds[], size_t n)
{
        sd_bus_message *message = call_message(client, MANAGER_PATH, MANAGER_INTERFACE, member, "ss", CARD,
                                               method);

        ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "{sv}"), 0);
        ck_assert_int_ge(sd_bus_message_open_container(message, 'e', "sv"), 0);
        ck_assert_int_ge(sd_bus_message_append(message, "s", "fds"), 0);
        ck_assert_int_ge(sd_bus_message_open_container(message, 'v', "ah"), 0);
        ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "h"), 0);
        for (size_t i = 0; i < n; i++)
                ck_assert_int_ge(sd_bus_message_append(message, "h", fds[i]), 0);
        for (int i = 0; i < 4; i++)
                ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        return call_send(client, message);
}

static Call *plan_with_fds(Client *client, const char *method, const int fds[], size_t n)
{
        return call_with_fds(client, "Plan", method, fds, n);
}

START_TEST(presented_groups)
{
        _cleanup_close_ int group = -EBADF;
        _cleanup_reply_ Reply *plan = NULL, *flr = NULL;
        size_t n_open;

        add_vfio_card(1);
        fixture_start();
        n_open = daemon_descriptors();
        group = node_open("vfio/" GROUP);
        plan = call_finish(plan_with_fds(alice, "vfio_hot", &group, 1));
        expect_success(plan);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset-owned");
        /* Through sysfs the reset would go past the guest. */
        flr = call_finish(plan_with_fds(alice, "flr", &group, 1));
        expect_success(flr);
        ck_assert_str_eq(reply_string(flr, "0.rungs.0.why.0"), "vfio-open");
        claim_release(&group);
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

/* A hot reset needs the groups of all that it resets, and says which one it lacks. */
START_TEST(a_group_that_is_not_presented)
{
        const MockDevice second = {.address = SECOND,
                                   .parent = PORT,
                                   .methods = "flr",
                                   .driver = "vfio-pci",
                                   .iommu_group = OTHER_GROUP};
        _cleanup_close_ int group = -EBADF, other = -EBADF;
        _cleanup_reply_ Reply *first = NULL, *last = NULL, *plan = NULL;
        int both[2];

        add_vfio_card(0);
        sysfs_add(&second);
        vfio_group_add(OTHER_GROUP, NODE_FULL, UID_BOB);
        fixture_start();
        group = node_open("vfio/" GROUP);
        other = node_open("vfio/" OTHER_GROUP);
        first = call_finish(call_with_fds(alice, "Reset", "vfio_hot", &group, 1));
        expect_error(first, "NotUsable", "not /dev/vfio/" OTHER_GROUP " of " SECOND);
        ck_assert_ptr_null(strstr(reply_string(first, "0"), "/dev/vfio/" GROUP " "));
        last = call_finish(call_with_fds(alice, "Reset", "vfio_hot", &other, 1));
        expect_error(last, "NotUsable", "not /dev/vfio/" GROUP " of " CARD);
        expect_nothing_written();
        both[0] = group;
        both[1] = other;
        plan = call_finish(plan_with_fds(alice, "vfio_hot", both, 2));
        expect_success(plan);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
}
END_TEST

/* A descriptor that is open while the node is replaced is not of the group that has the name now. */
static int open_replaced(void)
{
        int fd;

        node_add("vfio/13", NODE_ZERO, 0);
        fd = node_open("vfio/13");
        node_add("vfio/13", NODE_FULL, 0);
        return fd;
}

static int open_file(void)
{
        file_print("/dev/vfio/14", "%s", "");
        return open("/dev/vfio/14", O_RDONLY | O_CLOEXEC);
}

static int open_other_node(void)
{
        node_add("zero", NODE_ZERO, 0);
        return node_open("zero");
}

static int open_container(void)
{
        node_add("vfio/vfio", NODE_ZERO, 0);
        return node_open("vfio/vfio");
}

static int open_long_number(void)
{
        node_add("vfio/123456789012345678", NODE_ZERO, 0);
        return node_open("vfio/123456789012345678");
}

static int open_directory(void)
{
        return open("/dev/vfio", O_RDONLY | O_CLOEXEC);
}

static int open_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int open_path_only(void)
{
        return open("/dev/vfio/" GROUP, O_PATH | O_CLOEXEC);
}

static int (*const bad_fds[])(void) = {
        open_replaced,    open_file,      open_other_node, open_container,
        open_long_number, open_directory, open_socket,     open_path_only,
};

START_TEST(other_descriptors_are_no_groups)
{
        _cleanup_reply_ Reply *reply = NULL;
        int fds[2];
        size_t n_open;

        add_vfio_card(0);
        fixture_start();
        n_open = daemon_descriptors();
        fds[0] = node_open("vfio/" GROUP);
        fds[1] = bad_fds[_i]();
        ck_assert_int_ge(fds[1], 0);
        reply = call_finish(plan_with_fds(alice, "vfio_hot", fds, 2));
        expect_error(reply, ERROR_INVALID_ARGS, "Descriptor 1 ");
        (void) close(fds[0]);
        (void) close(fds[1]);
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

START_TEST(too_many_groups)
{
        _cleanup_reply_ Reply *most = NULL, *over = NULL;
        int fds[17];
        size_t n_open;

        add_vfio_card(0);
        fixture_start();
        n_open = daemon_descriptors();
        fds[0] = node_open("vfio/" GROUP);
        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                fds[i] = fds[0];
        most = call_finish(plan_with_fds(alice, "vfio_hot", fds, 16));
        expect_success(most);
        over = call_finish(plan_with_fds(alice, "vfio_hot", fds, 17));
        expect_error(over, ERROR_INVALID_ARGS, "more than 16");
        (void) close(fds[0]);
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("groups");

        program_add(&program, an_open_group_is_named);
        program_add(&program, owner_of_the_node);
        program_add(&program, owner_of_the_node_is_told);
        program_add(&program, owner_goes_with_the_driver);
        program_add(&program, presented_groups);
        program_add(&program, a_group_that_is_not_presented);
        program_add_table(&program, other_descriptors_are_no_groups, bad_fds);
        program_add(&program, too_many_groups);
        return program_run(&program);
}
