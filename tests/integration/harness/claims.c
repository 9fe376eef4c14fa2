/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "claims.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "fixture.h"

const char *const polkit_rules_everybody = "polkit.addRule(function(action, subject) {\n"
                                           "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
                                           "        return polkit.Result.YES;\n"
                                           "});\n";

void start_for_everybody(void)
{
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
}

const char *const card_alone[] = {CARD, NULL};
const char *const both_cards[] = {CARD, CARD2, NULL};

static sd_bus_message *claim_message(Client *client, const char *member, const char *const addresses[])
{
        sd_bus_message *message = call_message(client, MANAGER_PATH, MANAGER_INTERFACE, member, NULL);

        ck_assert_int_ge(sd_bus_message_append_strv(message, (char **) addresses), 0);
        ck_assert_int_ge(sd_bus_message_append(message, "ss", "a test", "to see what happens"), 0);
        return message;
}

Call *acquire_start(Client *client, const char *const addresses[])
{
        sd_bus_message *message = claim_message(client, "Acquire", addresses);

        ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 0), 0);
        return call_send(client, message);
}

Call *inhibit_start(Client *client, const char *const addresses[], const char *mode)
{
        sd_bus_message *message = claim_message(client, "Inhibit", addresses);

        ck_assert_int_ge(sd_bus_message_append(message, "sa{sv}", mode, 0), 0);
        return call_send(client, message);
}

int claim_finish(Call *call, char **ret_id)
{
        sd_bus_message *answer;
        const char *id;
        int fd;

        wait_until(call_done(call));
        answer = call_take(call);
        ck_assert_msg(!sd_bus_message_is_method_error(answer, NULL), "%s: %s",
                      sd_bus_message_get_error(answer)->name, sd_bus_message_get_error(answer)->message);
        ck_assert_int_gt(sd_bus_message_read(answer, "h", &fd), 0);
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        ck_assert_int_ge(fd, 0);
        if (ret_id) {
                ck_assert_int_gt(sd_bus_message_read(answer, "s", &id), 0);
                *ret_id = strdup(id);
        }
        sd_bus_message_unref(answer);
        return fd;
}

int lease_take(Client *client, const char *address, char **ret_id)
{
        const char *const addresses[] = {address, NULL};

        return claim_finish(acquire_start(client, addresses), ret_id);
}

int inhibitor_take(Client *client, const char *address, const char *mode)
{
        const char *const addresses[] = {address, NULL};

        return claim_finish(inhibit_start(client, addresses, mode), NULL);
}

void claim_release(int *fd)
{
        ck_assert_int_eq(close(*fd), 0);
        *fd = -1;
}

void expect_lease(const char *address, const char *id)
{
        _cleanup_free_ char *lease = get_property_string(observer, device_path(address), DEVICE_INTERFACE,
                                                         "Lease");

        ck_assert_str_eq(lease, id);
}

Reply *claims_list(const char *member)
{
        Reply *reply = manager_call(observer, member, "a{sv}", 0);

        expect_success(reply);
        return reply;
}

static size_t count_claims(const char *member)
{
        _cleanup_reply_ Reply *reply = claims_list(member);

        return reply_length(reply, "0");
}

void claims_wait(const char *member, size_t n)
{
        wait_until(count_claims(member) == n);
}

size_t daemon_descriptors(void)
{
        _cleanup_free_ char *path = textf("/proc/%d/fd", daemon_process()->pid);
        DIR *directory = opendir(path);
        size_t n = 0;

        daemon_settle();
        ck_assert_ptr_nonnull(directory);
        while (readdir(directory))
                n++;
        (void) closedir(directory);
        return n;
}
