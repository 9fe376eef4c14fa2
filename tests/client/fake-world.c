/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A stand-in for pciresetd, and for polkit, that says what is written in a file: fake-world FILE. The file
 * is a JSON object:
 *
 *   devices      by address: an object with
 *                  properties, methods (rows with `name`)
 *                  plan and plan_in_use; or plans, by method
 *                  error    the name and text of what Plan gets instead
 *                  acquire  the same for Acquire, which else gives a descriptor
 *                  resets   by method an array with what each reset in turn gets, the last one for all that
 *                           follow: `result`, and `error` and `text` if it is an error; `hangs`: no answer;
 *                           `vanishes`: the device has no properties any more
 *   inhibitors   rows
 *   history      rows of GetHistory; without it there is no such method
 *   polkit       by action: yes, password or no; without it there is no polkit
 *
 * Values become D-Bus values of the nearest type, addresses stay texts where the daemon has object paths:
 * the client takes both. Prints `ready` when it has its names, and later what is taken and reset.
 */

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define BUS_NAME "org.pciresetd1"
#define ROOT     "/org/pciresetd1"
#define DEVICES  ROOT "/device"
#define POLKIT   "org.freedesktop.PolicyKit1"

static json_object *world;

static json_object *get(json_object *object, const char *key)
{
        json_object *value = NULL;

        if (object)
                (void) json_object_object_get_ex(object, key, &value);
        return value;
}

static const char *get_text(json_object *object, const char *key)
{
        json_object *value = get(object, key);

        return value ? json_object_get_string(value) : "";
}

static bool holds_objects(json_object *array)
{
        return json_object_array_length(array) > 0 &&
               json_object_is_type(json_object_array_get_idx(array, 0), json_type_object);
}

static const char *signature_of(json_object *value)
{
        switch (json_object_get_type(value)) {
        case json_type_boolean:
                return "b";
        case json_type_int:
                return json_object_get_int64(value) < 0 ? "x" : "t";
        case json_type_array:
                return holds_objects(value) ? "aa{sv}" : "as";
        case json_type_object:
                return "a{sv}";
        default:
                return "s";
        }
}

static int append_value(sd_bus_message *m, json_object *value);

/* `except`: a key that is left out, NULL: none. */
static int append_dict(sd_bus_message *m, json_object *object, const char *except)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        json_object_object_foreach(object, key, value)
        {
                const char *signature = signature_of(value);

                if (except && strcmp(key, except) == 0)
                        continue;
                if (r < 0 || (r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
                    (r = sd_bus_message_append(m, "s", key)) < 0 ||
                    (r = sd_bus_message_open_container(m, 'v', signature)) < 0 ||
                    (r = append_value(m, value)) < 0 || (r = sd_bus_message_close_container(m)) < 0 ||
                    (r = sd_bus_message_close_container(m)) < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_array(sd_bus_message *m, json_object *array)
{
        int r = sd_bus_message_open_container(m, 'a', signature_of(array) + 1);

        for (size_t i = 0; i < json_object_array_length(array) && r >= 0; i++)
                r = append_value(m, json_object_array_get_idx(array, i));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, json_object *value)
{
        switch (json_object_get_type(value)) {
        case json_type_boolean:
                return sd_bus_message_append(m, "b", json_object_get_boolean(value));
        case json_type_int:
                return sd_bus_message_append(m, signature_of(value), json_object_get_int64(value));
        case json_type_array:
                return append_array(m, value);
        case json_type_object:
                return append_dict(m, value, NULL);
        default:
                return sd_bus_message_append(m, "s", value ? json_object_get_string(value) : "");
        }
}

static char vanished[32]; /* an address */

static json_object *find_device(const char *address)
{
        return get(get(world, "devices"), address);
}

static int reply_no_device(sd_bus_message *call, const char *address)
{
        return sd_bus_reply_method_errorf(call, BUS_NAME ".Error.NoSuchDevice",
                                          "%s: there is no such device", address);
}

/* A reply with one value; an empty one of a type that the caller can read if there is none. */
static int reply_value(sd_bus_message *call, json_object *value)
{
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = value ? append_value(reply, value) : sd_bus_message_append(reply, "aa{sv}", 0);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_list(sd_bus_message *call)
{
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sossss)");
        json_object_object_foreach(get(world, "devices"), address, device) if (r >= 0)
                r = sd_bus_message_append(reply, "(sossss)", address, "/",
                                          get_text(get(device, "properties"), "Driver"), "idle", "", "");
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_get_device(sd_bus_message *call)
{
        const char *address;
        char *path = NULL;
        int r = sd_bus_message_read(call, "s", &address);

        if (r < 0)
                return r;
        if (!find_device(address))
                return reply_no_device(call, address);
        r = sd_bus_path_encode(DEVICES, address, &path);
        if (r >= 0)
                r = sd_bus_reply_method_return(call, "o", path);
        free(path);
        return r;
}

static int on_get_all(sd_bus_message *call)
{
        char *address = NULL;
        int r = sd_bus_path_decode(sd_bus_message_get_path(call), DEVICES, &address);
        json_object *properties = r > 0 ? get(find_device(address), "properties") : NULL;

        if (address && strcmp(address, vanished) == 0)
                properties = NULL;
        r = properties ? reply_value(call, properties) : reply_no_device(call, address ? address : "");
        free(address);
        return r;
}

static int on_methods(sd_bus_message *call)
{
        json_object *methods;
        const char *address;
        sd_bus_message *reply;
        int r = sd_bus_message_read(call, "s", &address);

        if (r < 0)
                return r;
        methods = get(find_device(address), "methods");
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");
        for (size_t i = 0; methods && i < json_object_array_length(methods); i++) {
                json_object *method = json_object_array_get_idx(methods, i);

                if (r < 0 || (r = sd_bus_message_open_container(reply, 'r', "sa{sv}")) < 0 ||
                    (r = sd_bus_message_append(reply, "s", get_text(method, "name"))) < 0 ||
                    (r = append_dict(reply, method, "name")) < 0)
                        return r;
                r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* Is it among the options that come next? */
static bool has_option(sd_bus_message *call, const char *name)
{
        const char *key;
        bool found = false;

        if (sd_bus_message_enter_container(call, 'a', "{sv}") < 0)
                return false;
        while (sd_bus_message_enter_container(call, 'e', "sv") > 0) {
                if (sd_bus_message_read(call, "s", &key) < 0 || sd_bus_message_skip(call, "v") < 0)
                        return false;
                found = found || strcmp(key, name) == 0;
                (void) sd_bus_message_exit_container(call);
        }
        return found;
}

static int on_plan(sd_bus_message *call)
{
        json_object *device, *error, *plan;
        const char *address, *method;
        int r = sd_bus_message_read(call, "ss", &address, &method);

        if (r < 0)
                return r;
        device = find_device(address);
        error = get(device, "error");
        if (error)
                return sd_bus_reply_method_errorf(call, get_text(error, "name"), "%s",
                                                  get_text(error, "text"));
        plan = get(device, has_option(call, "in_use") ? "plan_in_use" : "plan");
        if (get(device, "plans"))
                plan = get(get(device, "plans"), method);
        return plan ? reply_value(call, plan) : sd_bus_reply_method_return(call, "a{sv}", 0);
}

static void tell(const char *what, const char *address, const char *method)
{
        (void) printf("%s %s %s\n", what, address, method);
        (void) fflush(stdout);
}

static int on_acquire(sd_bus_message *call)
{
        const char *address = "";
        int fds[2], r = sd_bus_message_enter_container(call, 'a', "s");
        json_object *error;

        if (r >= 0)
                r = sd_bus_message_read(call, "s", &address);
        if (r < 0)
                return r;
        error = get(find_device(address), "acquire");
        tell(error ? "refused" : "acquired", address, "");
        if (error)
                return sd_bus_reply_method_errorf(call, get_text(error, "name"), "%s",
                                                  get_text(error, "text"));
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        r = sd_bus_reply_method_return(call, "hs", fds[1], "L1");
        (void) close(fds[0]);
        (void) close(fds[1]);
        return r;
}

static int on_reset(sd_bus_message *call)
{
        static unsigned n_calls;
        static char last[128];
        char now[sizeof(last)];
        const char *address, *method;
        json_object *scenes, *scene;
        sd_bus_message *reply;
        int r = sd_bus_message_read(call, "ss", &address, &method);

        if (r < 0)
                return r;
        (void) snprintf(now, sizeof(now), "%s %s", sd_bus_message_get_sender(call), method);
        if (strcmp(last, now) != 0)
                n_calls = 0;
        memcpy(last, now, sizeof(last));
        tell(has_option(call, "lease_fd") ? "reset-leased" : "reset", address, method);
        scenes = get(get(find_device(address), "resets"), method);
        if (!scenes)
                return sd_bus_reply_method_errorf(call, BUS_NAME ".Error.InvalidMethod", "no such method");
        if (n_calls + 1 < json_object_array_length(scenes))
                scene = json_object_array_get_idx(scenes, n_calls++);
        else
                scene = json_object_array_get_idx(scenes, json_object_array_length(scenes) - 1);
        if (get(scene, "vanishes"))
                (void) snprintf(vanished, sizeof(vanished), "%s", address);
        if (get(scene, "hangs"))
                return 1;
        if (get(scene, "error")) {
                sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(get_text(scene, "error"),
                                                             get_text(scene, "text"));

                r = sd_bus_message_new_method_error(call, &reply, &error);
        } else
                r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0 && get(scene, "result"))
                r = append_dict(reply, get(scene, "result"), NULL);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_check(sd_bus_message *call)
{
        const char *kind, *action, *answer;
        int r = sd_bus_message_enter_container(call, 'r', "sa{sv}");

        if (r >= 0)
                r = sd_bus_message_read(call, "s", &kind);
        if (r >= 0)
                r = sd_bus_message_skip(call, "a{sv}");
        if (r >= 0)
                r = sd_bus_message_exit_container(call);
        if (r >= 0)
                r = sd_bus_message_read(call, "s", &action);
        if (r < 0)
                return r;
        answer = get_text(get(world, "polkit"), action);
        return sd_bus_reply_method_return(call, "(bba{ss})", strcmp(answer, "yes") == 0,
                                          strcmp(answer, "password") == 0, 0);
}

static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *member = sd_bus_message_get_member(call);

        if (sd_bus_message_is_method_call(call, NULL, "ListDevices") > 0)
                return on_list(call);
        if (sd_bus_message_is_method_call(call, NULL, "GetDevice") > 0)
                return on_get_device(call);
        if (sd_bus_message_is_method_call(call, NULL, "GetAll") > 0)
                return on_get_all(call);
        if (sd_bus_message_is_method_call(call, NULL, "GetMethods") > 0)
                return on_methods(call);
        if (sd_bus_message_is_method_call(call, NULL, "Plan") > 0)
                return on_plan(call);
        if (sd_bus_message_is_method_call(call, NULL, "CheckAuthorization") > 0)
                return on_check(call);
        if (sd_bus_message_is_method_call(call, NULL, "Acquire") > 0)
                return on_acquire(call);
        if (sd_bus_message_is_method_call(call, NULL, "Reset") > 0)
                return on_reset(call);
        if (member && strcmp(member, "ListInhibitors") == 0)
                return reply_value(call, get(world, "inhibitors"));
        if (member && strcmp(member, "GetHistory") == 0 && get(world, "history"))
                return reply_value(call, get(world, "history"));
        return 0;
}

int main(int argc, char **argv)
{
        sd_bus *bus = NULL;
        int r;

        world = argc == 2 ? json_object_from_file(argv[1]) : NULL;
        if (!world) {
                (void) fprintf(stderr, "fake-world: %s\n", json_util_get_last_err());
                return EXIT_FAILURE;
        }
        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_add_filter(bus, NULL, on_call, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, BUS_NAME, 0);
        if (r >= 0 && get(world, "polkit"))
                r = sd_bus_request_name(bus, POLKIT, 0);
        if (r < 0) {
                (void) fprintf(stderr, "fake-world: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        (void) puts("ready");
        (void) fflush(stdout);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        return EXIT_FAILURE;
}
