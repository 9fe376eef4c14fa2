/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The harness itself, without the daemon: a tier whose own ground is not firm proves nothing.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "harness/fixture.h"

/* Asks the real polkitd for a client, as the daemon does: subject is its name on the bus. */
static Reply *check(const Client *client, const char *action, const char *device)
{
        return call_service(observer, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                            "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization", "(sa{sv})sa{ss}us",
                            "system-bus-name", 1, "name", "s", client_name(client), action, 1, "device",
                            device, 0U, "");
}

START_TEST(polkit_knows_alice_from_bob)
{
        _cleanup_reply_ Reply *yes = NULL, *no = NULL;

        polkit_start(polkit_rules_default);
        alice = client_new(UID_ALICE);
        bob = client_new(UID_BOB);
        yes = check(alice, "org.pciresetd1.reset", CARD);
        no = check(bob, "org.pciresetd1.reset", CARD);
        ck_assert(json_object_get_boolean(reply_at(yes, "0.0")));
        ck_assert(!json_object_get_boolean(reply_at(no, "0.0")));
}
END_TEST

START_TEST(polkit_rules_see_details)
{
        _cleanup_reply_ Reply *yes = NULL, *no = NULL;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    return action.lookup('device') == '0000:01:00.0' ? polkit.Result.YES : "
                     "polkit.Result.NO;\n"
                     "});\n");
        bob = client_new(UID_BOB);
        yes = check(bob, "org.pciresetd1.reset", CARD);
        no = check(bob, "org.pciresetd1.reset", CARD2);
        ck_assert(json_object_get_boolean(reply_at(yes, "0.0")));
        ck_assert(!json_object_get_boolean(reply_at(no, "0.0")));
}
END_TEST

START_TEST(agent_answers)
{
        Reply *reply;

        polkit_start("");
        bob = client_new(UID_BOB);
        agent_register(bob, AGENT_APPROVE);
        reply = call_service(observer, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                             "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                             "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s", client_name(bob),
                             "org.pciresetd1.reset", 1, "device", CARD, 1U, "");
        ck_assert(json_object_get_boolean(reply_at(reply, "0.0")));
        ck_assert_uint_eq(agent_dialogs(), 1);
        ck_assert_str_eq(agent_action(), "org.pciresetd1.reset");
        reply_free(reply);
}
END_TEST

START_TEST(tree_looks_like_the_kernels)
{
        _cleanup_free_ char *vendor = NULL, *methods = NULL, *aer = NULL;
        uint8_t config[CONFIG_SIZE];
        uint64_t first;
        size_t size;

        fixture_devices();
        ck_assert_str_eq(sysfs_path(CARD), "/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0");
        vendor = sysfs_get(CARD, "vendor");
        ck_assert_str_eq(vendor, "0x8086");
        methods = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(methods, "flr pm bus");
        aer = sysfs_get(CARD, "aer_dev_fatal");
        ck_assert_str_eq(aer, "Undefined 0");
        sysfs_config_read(CARD, config, &size);
        ck_assert_uint_eq(size, CONFIG_SIZE);
        ck_assert_uint_eq(config[0], 0x86);
        first = sysfs_inode(CARD);
        sysfs_remove(PORT);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        ck_assert_uint_ne(sysfs_inode(CARD), first);
}
END_TEST

static int on_uevent(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        char buffer[4096];

        (void) source, (void) revents;
        *(ssize_t *) data = recv(fd, buffer, sizeof(buffer), 0);
        return 0;
}

START_TEST(uevents_reach_libudev)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 15 /* NETLINK_KOBJECT_UEVENT */);
        struct {
                uint16_t family, pad;
                uint32_t pid, groups;
        } address = {AF_NETLINK, 0, 0, 2};
        ssize_t received = 0;

        fixture_devices();
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_ge(sd_event_add_io(loop_event(), NULL, fd, EPOLLIN, on_uevent, &received), 0);
        uevent("change", CARD, NULL);
        wait_until(received > 0);
}
END_TEST

/* Runs a shell with the kernel model. */
static int shell(const char *script)
{
        const char *argv[] = {"env", NULL, "/bin/sh", "-c", script, NULL};
        _cleanup_free_ char *preload = NULL, *output = NULL;
        int status;

        preload = textf("LD_PRELOAD=%s", tested_path("PCIRESETD_KERNEL_MODEL"));
        argv[1] = preload;
        status = process_run(0, argv, &output);
        return status;
}

static const struct {
        const char *write; /* what is written to `reset_method`, as for printf(1) */
        bool accepted;
        const char *list; /* afterwards */
} list_cases[] = {
        {"flr", true, "flr"},
        {"bus flr\\n", true, "bus flr"},
        {"default", true, "flr pm bus"},
        {"default\\n", true, "flr pm bus"},
        {"\\n", true, ""},
        {"  \\n", true, ""},
        {"flr flr", true, "flr flr"},
        {"flr,pm", false, "flr pm bus"},
        {"acpi", false, "flr pm bus"},
        {"nonsense", false, "flr pm bus"},
        {"flr\\npm", false, "flr pm bus"},
        {"flr flr flr flr flr flr flr flr", false, "flr pm bus"},
};

START_TEST(model_keeps_the_rules_of_reset_method)
{
        _cleanup_free_ char *script = NULL, *list = NULL;
        int status;

        fixture_devices();
        script = textf("printf '%s' > %s/reset_method", list_cases[_i].write, sysfs_path(CARD));
        status = shell(script);
        ck_assert_int_eq(status == 0, list_cases[_i].accepted);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, list_cases[_i].list);
        ck_assert_uint_eq(model_count("list", CARD), 1);
}
END_TEST

START_TEST(model_resets)
{
        uint8_t config[CONFIG_SIZE];
        ModelEvent event;

        fixture_devices();
        model_fail(CARD, "flr", ENOTTY);
        model_dies(CARD, "pm");
        ck_assert_int_eq(shell("echo 1 > /sys/bus/pci/devices/" CARD "/reset"), 0);
        expect_methods_run(CARD, "flr pm");
        ck_assert(model_event("end", CARD, 0, &event));
        ck_assert_str_eq(event.rest, "0");
        ck_assert_uint_eq(event.inode, sysfs_inode(CARD));
        sysfs_config_read(CARD, config, NULL);
        ck_assert_uint_eq(config[0], 0xff);

        model_forget();
        model_fail(CARD, NULL, EIO);
        ck_assert_int_ne(shell("echo 1 > /sys/bus/pci/devices/" CARD "/reset"), 0);
        expect_methods_run(CARD, "flr pm");
        ck_assert_int_ne(shell("echo 2 > /sys/bus/pci/devices/" CARD "/reset"), 0);
        ck_assert_uint_eq(model_count("bad", CARD), 1);
        model_forget();
}
END_TEST

START_TEST(model_refuses_bus_reset_of_a_multifunction_device)
{
        MockDevice second = mock_card;

        fixture_devices();
        second.address = "0000:01:00.1";
        sysfs_add(&second);
        ck_assert_int_ne(
                shell("d=/sys/bus/pci/devices/" CARD "; echo bus > $d/reset_method && echo 1 > $d/reset"),
                0);
        expect_methods_run(CARD, "bus");
}
END_TEST

START_TEST(model_holds_and_hangs)
{
        const char *const reset_argv[] = {"sh", "-c", "echo 1 > /sys/bus/pci/devices/" CARD "/reset", NULL};
        const char *const read_argv[] = {"sh", "-c", "head -c 4 /sys/bus/pci/devices/" CARD "/config", NULL};
        _cleanup_free_ char *preload = NULL;
        const char *environment[2] = {NULL, NULL};
        Process *writer, *reader;
        int hold;

        preload = textf("LD_PRELOAD=%s", tested_path("PCIRESETD_KERNEL_MODEL"));
        environment[0] = preload;
        fixture_devices();
        hold = model_hold(CARD);
        writer = process_start("writer", 0, reset_argv, environment);
        (void) model_wait("begin", CARD, 0);
        reader = process_start("reader", 0, read_argv, environment);
        (void) model_wait("touch", CARD, 0);
        ck_assert(!writer->ended && !reader->ended);
        sysfs_remove(CARD);
        model_release(&hold);
        ck_assert_int_ne(process_wait(writer), 0);
        (void) process_wait(reader);
        ck_assert_str_eq(model_wait("end", CARD, 0).rest, "19"); /* ENODEV */
        expect_methods_run(CARD, "");
}
END_TEST

START_TEST(mock_polkit_records)
{
        const PolkitRequest *request;
        sd_bus_message *message;
        Reply *reply;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        alice = client_new(UID_ALICE);
        ck_assert_int_ge(
                sd_bus_message_new_method_call(observer->bus, &message, "org.freedesktop.PolicyKit1",
                                               "/org/freedesktop/PolicyKit1/Authority",
                                               "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"),
                0);
        ck_assert_int_ge(sd_bus_message_append(message, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name",
                                               "s", client_name(alice), "an.action", 1, "device", CARD, 1U,
                                               "c1"),
                         0);
        asked = call_send(observer, message);
        request = mock_polkit_request(0);
        ck_assert_str_eq(request->subject_name, client_name(alice));
        ck_assert_str_eq(mock_polkit_detail(request, "device"), CARD);
        ck_assert(!call_done(asked));
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        ck_assert(json_object_get_boolean(reply_at(reply, "0.0")));
        reply_free(reply);
        mock_polkit_crash();
        ck_assert(!name_is_owned("org.freedesktop.PolicyKit1"));
}
END_TEST

START_TEST(users_have_names)
{
        const char *const argv[] = {"id", "-un", NULL};
        _cleanup_free_ char *output = NULL;

        ck_assert_int_eq(process_run(UID_ALICE, argv, &output), 0);
        ck_assert_str_eq(output, "alice\n");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("harness");

        program_add(&program, polkit_knows_alice_from_bob);
        program_add(&program, polkit_rules_see_details);
        program_add(&program, agent_answers);
        program_add(&program, tree_looks_like_the_kernels);
        program_add(&program, uevents_reach_libudev);
        program_add_table(&program, model_keeps_the_rules_of_reset_method, list_cases);
        program_add(&program, model_resets);
        program_add(&program, model_refuses_bus_reset_of_a_multifunction_device);
        program_add(&program, model_holds_and_hangs);
        program_add(&program, mock_polkit_records);
        program_add(&program, users_have_names);
        return program_run(&program);
}
