/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Replies and signals as JSON, and what tests ask of them.
 */

#include <check.h>
#include <string.h>

#include "bus.h"
#include "sandbox.h"

#define SIGNALS_MAX 65536U

static Signal signals[SIGNALS_MAX];
static size_t n_signals;

/* ---- messages to JSON ---- */

static json_object *read_value(sd_bus_message *message);

static json_object *read_basic(sd_bus_message *message, char type)
{
        union {
                uint8_t y;
                int b, i, h;
                int16_t n;
                uint16_t q;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                const char *s;
        } v = {};

        ck_assert_int_gt(sd_bus_message_read_basic(message, type, &v), 0);
        switch (type) {
        case 'y':
                return json_object_new_int(v.y);
        case 'b':
                return json_object_new_boolean(v.b);
        case 'n':
                return json_object_new_int(v.n);
        case 'q':
                return json_object_new_int(v.q);
        case 'i':
        case 'h':
                return json_object_new_int(v.i);
        case 'u':
                return json_object_new_int64(v.u);
        case 'x':
                return json_object_new_int64(v.x);
        case 't':
                return json_object_new_uint64(v.t);
        case 'd':
                return json_object_new_double(v.d);
        default:
                return json_object_new_string(v.s);
        }
}

static json_object *read_array(sd_bus_message *message, const char *contents)
{
        bool is_object = strncmp(contents, "{s", 2) == 0 || strncmp(contents, "{o", 2) == 0;
        json_object *result = is_object ? json_object_new_object() : json_object_new_array();

        ck_assert_int_gt(sd_bus_message_enter_container(message, 'a', contents), 0);
        while (!sd_bus_message_at_end(message, false)) {
                if (is_object) {
                        const char *key;

                        ck_assert_int_gt(sd_bus_message_enter_container(message, 'e', NULL), 0);
                        ck_assert_int_gt(sd_bus_message_read_basic(message, contents[1], &key), 0);
                        ck_assert_msg(!json_object_object_get_ex(result, key, NULL), "key %s twice", key);
                        (void) json_object_object_add(result, key, read_value(message));
                        ck_assert_int_ge(sd_bus_message_exit_container(message), 0);
                } else
                        (void) json_object_array_add(result, read_value(message));
        }
        ck_assert_int_ge(sd_bus_message_exit_container(message), 0);
        return result;
}

static json_object *read_all(sd_bus_message *message)
{
        json_object *result = json_object_new_array();

        while (!sd_bus_message_at_end(message, false))
                (void) json_object_array_add(result, read_value(message));
        return result;
}

static json_object *read_value(sd_bus_message *message)
{
        const char *contents;
        json_object *result;
        char type;

        ck_assert_int_gt(sd_bus_message_peek_type(message, &type, &contents), 0);
        switch (type) {
        case 'a':
                return read_array(message, contents);
        case 'v':
                ck_assert_int_gt(sd_bus_message_enter_container(message, type, contents), 0);
                result = read_value(message);
                break;
        case 'r':
        case 'e':
                ck_assert_int_gt(sd_bus_message_enter_container(message, type, contents), 0);
                result = read_all(message);
                break;
        default:
                return read_basic(message, type);
        }
        ck_assert_int_ge(sd_bus_message_exit_container(message), 0);
        return result;
}

/* ---- replies ---- */

Reply *call_finish(Call *call)
{
        Reply *reply = calloc(1, sizeof(*reply));
        sd_bus_message *message;

        wait_until(call_done(call));
        message = call_take(call);
        if (sd_bus_message_is_method_error(message, NULL))
                reply->error = strdup(sd_bus_message_get_error(message)->name);
        reply->signature = strdup(sd_bus_message_get_signature(message, true));
        reply->body = read_all(message);
        sd_bus_message_unref(message);
        return reply;
}

Reply *reply_free(Reply *reply)
{
        if (!reply)
                return NULL;
        json_object_put(reply->body);
        free(reply->signature);
        free(reply->error);
        free(reply);
        return NULL;
}

json_object *json_at(json_object *value, const char *place)
{
        _cleanup_free_ char *copy = strdup(place);
        char *saved = NULL;

        for (char *step = strtok_r(copy, ".", &saved); step && value; step = strtok_r(NULL, ".", &saved)) {
                if (json_object_is_type(value, json_type_array))
                        value = json_object_array_get_idx(value, strtoul(step, NULL, 10));
                else if (!json_object_object_get_ex(value, step, &value))
                        value = NULL;
        }
        return value;
}

static const char *reply_text(const Reply *reply)
{
        return json_object_to_json_string_ext(reply->body, JSON_C_TO_STRING_PLAIN);
}

json_object *reply_at(const Reply *reply, const char *place)
{
        json_object *value = json_at(reply->body, place);

        ck_assert_msg(value, "no %s in the reply %s %s", place, reply->error ? reply->error : "",
                      reply_text(reply));
        return value;
}

const char *reply_string(const Reply *reply, const char *place)
{
        return json_object_get_string(reply_at(reply, place));
}

int64_t reply_number(const Reply *reply, const char *place)
{
        return json_object_get_int64(reply_at(reply, place));
}

size_t reply_length(const Reply *reply, const char *place)
{
        return json_object_array_length(reply_at(reply, place));
}

void expect_error(const Reply *reply, const char *error, const char *part)
{
        _cleanup_free_ char *name = NULL;
        const char *message;

        name = textf("%s%s", strchr(error, '.') ? "" : ERROR_PREFIX, error);
        ck_assert_msg(reply->error, "expected %s, got success: %s", name, reply_text(reply));
        ck_assert_msg(strcmp(reply->error, name) == 0, "expected %s, got %s: %s", name, reply->error,
                      reply_text(reply));
        message = json_object_array_length(reply->body) > 0 ? reply_string(reply, "0") : "";
        ck_assert_msg(strstr(message, part), "the text of %s does not say '%s': %s", reply->error, part,
                      message);
}

void expect_success(const Reply *reply)
{
        ck_assert_msg(!reply->error, "expected success, got %s: %s", reply->error, reply_text(reply));
}

/* ---- properties ---- */

const char *device_path(const char *address)
{
        static char *path;

        free(path);
        ck_assert_int_ge(sd_bus_path_encode(MANAGER_PATH "/device", address, &path), 0);
        return path;
}

Reply *get_property(Client *client, const char *path, const char *interface, const char *name)
{
        return call(client, path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name);
}

char *get_property_string(Client *client, const char *path, const char *interface, const char *name)
{
        _cleanup_reply_ Reply *reply = get_property(client, path, interface, name);

        expect_success(reply);
        return strdup(reply_string(reply, "0"));
}

char *device_state(Client *client, const char *address)
{
        return get_property_string(client, device_path(address), DEVICE_INTERFACE, "State");
}

/* ---- signals ---- */

static int on_signal(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) data, (void) error;
        ck_assert_uint_lt(n_signals, SIGNALS_MAX);
        signals[n_signals++] = (Signal){
                .path = strdup(sd_bus_message_get_path(message)),
                .interface = strdup(sd_bus_message_get_interface(message)),
                .member = strdup(sd_bus_message_get_member(message)),
                .body = read_all(message),
        };
        return 0;
}

static int on_match(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) error;
        *(bool *) data = !sd_bus_message_is_method_error(message, NULL);
        return 0;
}

void signals_watch(Client *client)
{
        bool installed = false;

        ck_assert_int_ge(sd_bus_add_match_async(client->bus, NULL, "type='signal',sender='" SERVICE "'",
                                                on_signal, on_match, &installed),
                         0);
        wait_until(installed);
}

void signals_forget(void)
{
        for (size_t i = 0; i < n_signals; i++) {
                free(signals[i].path);
                free(signals[i].interface);
                free(signals[i].member);
                json_object_put(signals[i].body);
        }
        n_signals = 0;
}

static bool signal_matches(const Signal *signal, const char *member, const char *path, const char *part)
{
        return strcmp(signal->member, member) == 0 && (!path || strcmp(signal->path, path) == 0) &&
               (!part ||
                strstr(json_object_to_json_string_ext(signal->body, JSON_C_TO_STRING_PLAIN |
                                                                            JSON_C_TO_STRING_NOSLASHESCAPE),
                       part));
}

const Signal *signal_find(const char *member, const char *path, const char *part)
{
        for (size_t i = 0; i < n_signals; i++)
                if (signal_matches(&signals[i], member, path, part))
                        return &signals[i];
        return NULL;
}

const Signal *signal_nth(const char *member, size_t index)
{
        size_t n = 0;

        for (size_t i = 0; i < n_signals; i++)
                if (signal_matches(&signals[i], member, NULL, NULL) && n++ == index)
                        return &signals[i];
        return NULL;
}

size_t signal_count(const char *member, const char *path, const char *part)
{
        size_t n = 0;

        for (size_t i = 0; i < n_signals; i++)
                n += signal_matches(&signals[i], member, path, part);
        return n;
}

const Signal *signal_wait(const char *member, const char *path, const char *part)
{
        uint64_t deadline = loop_deadline();
        _cleanup_free_ char *what = NULL;
        const Signal *signal;

        what = textf("signal %s of %s with %s", member, path ? path : "any object",
                     part ? part : "anything");
        while (!(signal = signal_find(member, path, part)))
                loop_once(deadline, what, __FILE__, __LINE__);
        return signal;
}

long signal_index(const Signal *signal)
{
        return signal ? (long) (signal - signals) : -1;
}
