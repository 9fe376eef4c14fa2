/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The fake authority. It lives in the test's own process and loop, on a connection of its own: what a test
 * does between two questions, polkit does not see, and no timing decides.
 */

#include "mock-polkit.h"

#include <check.h>
#include <string.h>

#include "harness/bus.h"

#define REQUESTS_MAX 4096U

static struct {
        Client *client;
        MockPolkitMode mode;
        size_t n;
        PolkitRequest requests[REQUESTS_MAX];
        sd_bus_message *open[REQUESTS_MAX];
} mock;

static void reply_result(size_t index, bool authorized, bool challenge)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = steal_pointer(mock.open[index]);

        ck_assert_ptr_nonnull(message);
        mock.requests[index].answered = true;
        ck_assert_int_ge(sd_bus_reply_method_return(message, "(bba{ss})", authorized, challenge, 0), 0);
}

void mock_polkit_answer(size_t index, bool authorized, bool challenge)
{
        (void) mock_polkit_request(index);
        reply_result(index, authorized, challenge);
}

void mock_polkit_fail(size_t index, const char *error)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;

        (void) mock_polkit_request(index);
        message = steal_pointer(mock.open[index]);
        ck_assert_ptr_nonnull(message);
        mock.requests[index].answered = true;
        ck_assert_int_ge(sd_bus_reply_method_errorf(message, error, "As the test wants it."), 0);
}

static void answer_by_mode(size_t index)
{
        switch (mock.mode) {
        case MOCK_POLKIT_HANG:
                break;
        case MOCK_POLKIT_YES:
                reply_result(index, true, false);
                break;
        case MOCK_POLKIT_NO:
                reply_result(index, false, false);
                break;
        case MOCK_POLKIT_CHALLENGE:
                reply_result(index, false, true);
                break;
        case MOCK_POLKIT_ERROR:
                mock_polkit_fail(index, "org.freedesktop.PolicyKit1.Error.Failed");
                break;
        }
}

static void read_details(sd_bus_message *message, PolkitRequest *request)
{
        request->details = json_object_new_object();
        ck_assert_int_ge(sd_bus_message_enter_container(message, 'a', "{ss}"), 0);
        for (const char *key, *value; sd_bus_message_read(message, "{ss}", &key, &value) > 0;)
                (void) json_object_object_add(request->details, key, json_object_new_string(value));
        ck_assert_int_ge(sd_bus_message_exit_container(message), 0);
}

static int on_check(sd_bus_message *message, void *data, sd_bus_error *error)
{
        const char *kind, *key, *name, *action, *cancellation_id;
        size_t index = mock.n++;
        PolkitRequest *request = &mock.requests[index];

        (void) data, (void) error;
        ck_assert_uint_lt(index, REQUESTS_MAX);
        /* Exactly one fact about the subject, or something else than a bus name was sent. */
        ck_assert_int_gt(sd_bus_message_read(message, "(sa{sv})", &kind, 1, &key, "s", &name), 0);
        ck_assert_str_eq(key, "name");
        request->subject_kind = strdup(kind);
        request->subject_name = strdup(name);
        ck_assert_int_gt(sd_bus_message_read(message, "s", &action), 0);
        request->action = strdup(action);
        read_details(message, request);
        ck_assert_int_gt(sd_bus_message_read(message, "us", &request->flags, &cancellation_id), 0);
        request->cancellation_id = strdup(cancellation_id);
        mock.open[index] = sd_bus_message_ref(message);
        answer_by_mode(index);
        return 1;
}

static int on_cancel(sd_bus_message *message, void *data, sd_bus_error *error)
{
        const char *id;

        (void) data, (void) error;
        ck_assert_int_gt(sd_bus_message_read(message, "s", &id), 0);
        for (size_t i = 0; i < mock.n; i++)
                if (strcmp(mock.requests[i].cancellation_id, id) == 0)
                        mock.requests[i].cancelled = true;
        return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelCheckAuthorization", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void mock_polkit_start(MockPolkitMode mode)
{
        Reply *reply;

        mock.mode = mode;
        mock.client = client_new(0);
        ck_assert_int_ge(sd_bus_add_object_vtable(mock.client->bus, NULL,
                                                  "/org/freedesktop/PolicyKit1/Authority",
                                                  "org.freedesktop.PolicyKit1.Authority", vtable, NULL),
                         0);
        reply = call_service(mock.client, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName",
                             "su", "org.freedesktop.PolicyKit1", 0U);
        ck_assert_int_eq(reply_number(reply, "0"), 1);
        reply_free(reply);
}

void mock_polkit_crash(void)
{
        for (size_t i = 0; i < mock.n; i++)
                mock.open[i] = sd_bus_message_unref(mock.open[i]);
        mock.client = client_free(mock.client);
}

void mock_polkit_flush(void)
{
        /* The bus takes the messages of a connection one after the other. */
        reply_free(call_service(mock.client, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId",
                                NULL));
}

void mock_polkit_mode(MockPolkitMode mode)
{
        mock.mode = mode;
}

size_t mock_polkit_requests(void)
{
        return mock.n;
}

const PolkitRequest *mock_polkit_request(size_t index)
{
        wait_until(mock.n > index);
        return &mock.requests[index];
}

const char *mock_polkit_detail(const PolkitRequest *request, const char *key)
{
        json_object *value = NULL;

        return json_object_object_get_ex(request->details, key, &value) ? json_object_get_string(value)
                                                                        : NULL;
}
