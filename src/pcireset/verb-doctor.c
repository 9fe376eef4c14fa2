/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `doctor`: why a device can or cannot be reset here and now, and the next step, for one device or for all
 * of them. The questions are asked here; what the answers come to is in diagnosis.c.
 *
 * The daemon is asked for a plan once more with in_use where something uses the device, and polkit for the
 * actions of a plan that can be used. polkit tells nobody but the daemon what it says of a certain device,
 * so it is asked about the actions as such.
 */

#include <errno.h>
#include <string.h>

#include "pcireset/diagnosis.h"
#include "pcireset/error-text.h"
#include "pcireset/terminal.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* What is the same for all devices; asked once, when it is first needed. */
typedef struct Doctor {
        Client *client;
        json_object *inhibitors;
        json_object *authorization; /* polkit's answers by action */
} Doctor;

static void doctor_done(Doctor *doctor)
{
        json_object_put(doctor->inhibitors);
        json_object_put(doctor->authorization);
}

static const char *ask_polkit(sd_bus *bus, const char *action)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *name;
        int authorized, challenge, r;

        r = sd_bus_get_unique_name(bus, &name);
        if (r >= 0)
                r = sd_bus_message_new_method_call(bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                                   "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(call, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s", name,
                                          action, 0, UINT32_C(0), "");
        if (r >= 0)
                r = sd_bus_call(bus, call, 0, NULL, &reply);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r < 0)
                return "unknown";
        return authorized ? "yes" : challenge ? "password" : "no";
}

/* Sees to it that the answers for all actions of a rung are there. */
static int authorize(Doctor *doctor, json_object *rung)
{
        json_object *actions = json_get_array(rung, "actions");

        if (!doctor->authorization)
                doctor->authorization = json_object_new_object();
        for (size_t i = 0; i < json_length(actions); i++) {
                const char *action = json_get_string_at(actions, i);

                if (!doctor->authorization)
                        return -ENOMEM;
                if (!json_object_object_get_ex(doctor->authorization, action, NULL) &&
                    json_add(doctor->authorization, action,
                             json_object_new_string(ask_polkit(doctor->client->bus, action))) < 0)
                        return -ENOMEM;
        }
        return 0;
}

typedef struct Answers {
        json_object *properties, *methods, *plan, *plan_in_use;
} Answers;

static void answers_done(Answers *answers)
{
        json_object_put(answers->properties);
        json_object_put(answers->methods);
        json_object_put(answers->plan);
        json_object_put(answers->plan_in_use);
}

/* Everything that the daemon is asked about one device. As client_call(). */
static int ask(Doctor *doctor, Answers *answers)
{
        Client *client = doctor->client;
        _cleanup_free_ char *path = NULL;
        json_object *rung;
        int r;

        r = client_get_device(client, &path, NULL);
        if (r == EXIT_OK)
                r = client_get_properties(client, path, &answers->properties);
        if (r == EXIT_OK)
                r = client_get_plan(client, &answers->plan);
        /* After the plan, for which the daemon has looked who uses the device. */
        if (r == EXIT_OK)
                r = client_get_methods(client, &answers->methods);
        if (r != EXIT_OK)
                return r;

        rung = diagnosis_usable_rung(answers->plan);
        if (rung)
                return authorize(doctor, rung);
        if (diagnosis_has_code(answers->plan, "driver-bound") || diagnosis_has_code(answers->plan, "held")) {
                client->in_use = true;
                r = client_get_plan(client, &answers->plan_in_use);
                client->in_use = false;
        }
        if (r == EXIT_OK && diagnosis_has_code(answers->plan, "inhibited") && !doctor->inhibitors)
                r = client_get_rows(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListInhibitors",
                                    &doctor->inhibitors);
        return r;
}

/* The diagnosis of the client's device. As client_call(). */
static int diagnose(Doctor *doctor, json_object **ret)
{
        _cleanup_(answers_done) Answers answers = {};
        int r = ask(doctor, &answers);

        if (r != EXIT_OK)
                return r;
        return diagnosis_make(
                &(const Findings){
                        .address = doctor->client->address,
                        .properties = answers.properties,
                        .methods = answers.methods,
                        .plan = answers.plan,
                        .plan_in_use = answers.plan_in_use,
                        .inhibitors = doctor->inhibitors,
                        .authorization = doctor->authorization,
                },
                ret);
}

/* What was told instead of an answer. */
static int make_failed(const Client *client, json_object *failure, json_object **ret)
{
        json_object *error = json_get_dict(failure, "error");
        _cleanup_json_ json_object *document = json_object_new_object();
        int r;

        if (!document)
                return -ENOMEM;
        r = json_add(document, "address", json_object_new_string(client->address));
        if (r >= 0)
                r = json_add(document, "status", json_object_new_string("unknown"));
        if (r >= 0)
                r = json_add(document, "sentence",
                             json_object_new_string(json_get_string(error, "message")));
        if (r >= 0)
                r = json_add(document, "error", json_object_get(error));
        if (r >= 0)
                *ret = steal_pointer(document);
        return r;
}

static Colour status_colour(const char *status)
{
        if (strcmp(status, "ready") == 0)
                return COLOUR_GOOD;
        return strcmp(status, "not-possible") == 0 ? COLOUR_DIM : COLOUR_BUSY;
}

static int print_list(const char *label, json_object *list)
{
        int r = 0;

        for (size_t i = 0; i < json_length(list) && r >= 0; i++)
                r = text_print_line(stdout, "    %s %s", label, json_get_string_at(list, i));
        return r;
}

static int print_diagnosis(json_object *diagnosis)
{
        Colour colour = status_colour(json_get_string(diagnosis, "status"));
        int r;

        (void) fputs(terminal_colour_begin(stdout, colour), stdout);
        r = text_print_line(stdout, "%s", json_get_string(diagnosis, "sentence"));
        (void) fputs(terminal_colour_end(stdout, colour), stdout);
        if (r >= 0)
                r = print_list("doubt:", json_get_array(diagnosis, "doubts"));
        return r < 0 ? r : print_list("next: ", json_get_array(diagnosis, "next_steps"));
}

static int exit_code(const Client *client, json_object *diagnosis)
{
        const char *status = json_get_string(diagnosis, "status"),
                   *answer = json_get_string(diagnosis, "authorization");

        if (strcmp(status, "not-authorized") == 0)
                return EXIT_NOT_AUTHORIZED;
        if (strcmp(status, "ready") != 0)
                return EXIT_NOT_NOW;
        return strcmp(answer, "password") == 0 && !client->ask_password ? EXIT_NOT_AUTHORIZED : EXIT_OK;
}

static int doctor_one(Doctor *doctor)
{
        _cleanup_json_ json_object *diagnosis = NULL;
        int r = diagnose(doctor, &diagnosis);

        if (r != EXIT_OK)
                return r;
        r = doctor->client->json ? json_print(stdout, diagnosis, false) : print_diagnosis(diagnosis);
        return r < 0 ? r : exit_code(doctor->client, diagnosis);
}

/* One of many: that one cannot be asked about is no reason to be silent about the others. */
static int add_diagnosis(Doctor *doctor, const char *address, json_object *all)
{
        Client *client = doctor->client;
        _cleanup_json_ json_object *failure = NULL;
        json_object *diagnosis = NULL;
        int r;

        (void) snprintf(client->address, sizeof(client->address), "%s", address);
        client->failure = &failure;
        r = diagnose(doctor, &diagnosis);
        client->failure = NULL;
        if (r == EXIT_UNREACHABLE)
                return report_failure(client, EXIT_UNREACHABLE, CLIENT_ERROR("Unreachable"),
                                      json_get_string(json_get_dict(failure, "error"), "next_step"), "%s",
                                      json_get_string(json_get_dict(failure, "error"), "message"));
        if (r > EXIT_OK)
                r = make_failed(client, failure, &diagnosis);
        return r < 0 ? r : json_append(all, diagnosis);
}

static int doctor_all(Doctor *doctor)
{
        Client *client = doctor->client;
        _cleanup_json_ json_object *devices = NULL, *all = json_object_new_array();
        int r = client_list_devices(client, &devices);

        if (r != EXIT_OK)
                return r;
        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(devices); i++) {
                r = add_diagnosis(doctor, json_get_string(json_object_array_get_idx(devices, i), "address"),
                                  all);
                if (r != EXIT_OK)
                        return r;
                if (!client->json)
                        r = print_diagnosis(json_object_array_get_idx(all, i));
                if (r < 0)
                        return r;
        }
        return client->json ? json_print(stdout, all, false) : EXIT_OK;
}

int verb_doctor(Client *client, char **arguments)
{
        _cleanup_(doctor_done) Doctor doctor = {.client = client};

        client->method = "any";
        return *arguments ? doctor_one(&doctor) : doctor_all(&doctor);
}
