/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A device that can be reset is told by the first rung that can be used. For one that cannot there are as
 * many stories as rungs; the one that is told is of the rung with the least in its way, which the kinds of
 * reasons decide: what ends when somebody lets go, what somebody has to set up, and what will not change.
 */

#include "pcireset/diagnosis.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "pcireset/diagnosis-steps.h"
#include "pcireset/names.h"
#include "pcireset/text.h"
#include "pcireset/words.h"

#define CLASS_BRIDGE 0x0604U

typedef enum Obstacle {
        OBSTACLE_NONE,
        OBSTACLE_USE, /* ends when somebody lets go */
        OBSTACLE_SETUP, /* ends when somebody changes something */
        OBSTACLE_LASTING,
} Obstacle;

static Obstacle obstacle_of(const char *code)
{
        static const char *const use[] = {"driver-bound", "held",      "storage-in-use",  "network-in-use",
                                          "use-unknown",  "vfio-open", "guest",           "leased",
                                          "lease-gone",   "inhibited", "topology-unknown"};
        static const char *const setup[] = {"not-vfio",       "not-owned", "pciback",   "tsm-bound",
                                            "not-assignable", "edges",     "forbidden", "link-forbidden",
                                            "not-listed",     "known-bad"};

        for (size_t i = 0; i < ELEMENTSOF(use); i++)
                if (strcmp(use[i], code) == 0)
                        return OBSTACLE_USE;
        for (size_t i = 0; i < ELEMENTSOF(setup); i++)
                if (strcmp(setup[i], code) == 0)
                        return OBSTACLE_SETUP;
        return OBSTACLE_LASTING;
}

static Obstacle worst_obstacle(json_object *codes)
{
        Obstacle worst = OBSTACLE_NONE;

        for (size_t i = 0; i < json_length(codes); i++) {
                Obstacle obstacle = obstacle_of(json_get_string_at(codes, i));

                if (obstacle > worst)
                        worst = obstacle;
        }
        return worst;
}

json_object *diagnosis_usable_rung(json_object *plan)
{
        json_object *rungs = json_get_array(plan, "rungs");

        for (size_t i = 0; i < json_length(rungs); i++) {
                json_object *rung = json_object_array_get_idx(rungs, i);

                if (json_get_bool(rung, "usable"))
                        return rung;
        }
        return NULL;
}

static bool has_code(json_object *codes, const char *code)
{
        for (size_t i = 0; i < json_length(codes); i++)
                if (strcmp(json_get_string_at(codes, i), code) == 0)
                        return true;
        return false;
}

bool diagnosis_has_code(json_object *plan, const char *code)
{
        json_object *rungs = json_get_array(plan, "rungs");

        for (size_t i = 0; i < json_length(rungs); i++)
                if (has_code(json_get_array(json_object_array_get_idx(rungs, i), "why"), code))
                        return true;
        return false;
}

/* The one with the least in its way, the earlier one among equals. */
static json_object *closest_rung(json_object *plan)
{
        json_object *rungs = json_get_array(plan, "rungs"), *closest = NULL;
        Obstacle least = OBSTACLE_LASTING;

        for (size_t i = 0; i < json_length(rungs); i++) {
                json_object *rung = json_object_array_get_idx(rungs, i);
                Obstacle worst = worst_obstacle(json_get_array(rung, "why"));

                if (!closest || worst < least) {
                        closest = rung;
                        least = worst;
                }
        }
        return closest;
}

/* Words for codes, joined. The stream's own errors are found when it is closed. */
static void write_codes(FILE *stream, json_object *codes)
{
        for (size_t i = 0; i < json_length(codes); i++)
                (void) fprintf(stream, "%s%s", i > 0 ? "; " : "",
                               why_to_words(json_get_string_at(codes, i)));
}

static void write_usable(FILE *stream, json_object *rung)
{
        json_object *set = json_get_array(rung, "reset_set");
        uint64_t expected = json_get_unsigned(rung, "expected_usec");
        _cleanup_free_ char *all = device_paths_join(set);
        char duration[TEXT_DURATION_MAX];

        (void) fprintf(stream, "by %s", json_get_string(rung, "method"));
        if (json_length(set) > 1)
                (void) fprintf(stream, ", which resets all of %s", all ? all : "its set");
        else
                (void) fputs(", which disturbs no other device", stream);
        if (expected > 0)
                (void) fprintf(stream, " and takes about %s", text_duration(expected, duration));
}

/* Why a method is not in the ladder. */
static json_object *method_codes(json_object *method)
{
        json_object *codes = json_get_array(method, "why");

        return json_length(codes) > 0 ? codes : json_get_array(method, "left_out");
}

/* What is in the way of the method that comes closest, where there is no ladder: nothing if one can be used
 * by its name. */
static Obstacle least_of_methods(const Findings *findings)
{
        Obstacle least = OBSTACLE_LASTING;

        for (size_t i = 0; i < json_length(findings->methods); i++) {
                json_object *method = json_object_array_get_idx(findings->methods, i);
                Obstacle worst = json_get_bool(method, "usable")
                                         ? OBSTACLE_NONE
                                         : worst_obstacle(json_get_array(method, "why"));

                if (worst < least)
                        least = worst;
        }
        return least;
}

static bool is_bridge(const Findings *findings)
{
        return json_get_unsigned(findings->properties, "Class") >> 8 == CLASS_BRIDGE;
}

/* Why a device without any rung has none. */
static void write_no_rungs(FILE *stream, const Findings *findings)
{
        bool told = false;

        if (is_bridge(findings)) {
                (void) fprintf(stream, "cannot be reset: %s", why_to_words("bridge"));
                return;
        }
        if (json_length(findings->methods) == 0) {
                (void) fputs("cannot be reset: the kernel offers no method for it", stream);
                return;
        }
        (void) fputs(least_of_methods(findings) == OBSTACLE_NONE ? "is reset only by a method that is named"
                                                                 : "cannot be reset",
                     stream);
        for (size_t i = 0; i < json_length(findings->methods); i++) {
                json_object *method = json_object_array_get_idx(findings->methods, i);
                json_object *codes = method_codes(method);

                if (json_length(codes) == 0)
                        continue;
                (void) fprintf(stream, "%s%s: ", told ? "; " : ": ", json_get_string(method, "name"));
                write_codes(stream, codes);
                told = true;
        }
}

static int add_codes(json_object *codes, json_object *list)
{
        for (size_t i = 0; i < json_length(codes); i++)
                if (!has_code(list, json_get_string_at(codes, i)) &&
                    json_append(list, json_object_new_string(json_get_string_at(codes, i))) < 0)
                        return -ENOMEM;
        return 0;
}

/* All that is in the way of any rung, each reason once. */
static int collect_codes(const Findings *findings, json_object *list)
{
        json_object *rungs = json_get_array(findings->plan, "rungs");

        /* Most bridges have no method that the daemon could say so of. */
        if (json_length(rungs) == 0 && is_bridge(findings))
                return json_append(list, json_object_new_string("bridge"));
        for (size_t i = 0; i < json_length(findings->methods) && json_length(rungs) == 0; i++)
                if (add_codes(method_codes(json_object_array_get_idx(findings->methods, i)), list) < 0)
                        return -ENOMEM;

        for (size_t i = 0; i < json_length(rungs); i++)
                if (add_codes(json_get_array(json_object_array_get_idx(rungs, i), "why"), list) < 0)
                        return -ENOMEM;
        return 0;
}

static const char *hardest_answer(const Findings *findings, json_object *rung)
{
        static const char *const answers[] = {"no", "unknown", "password", "yes"}; /* the hardest first */
        json_object *actions = json_get_array(rung, "actions");

        for (size_t i = 0; i < ELEMENTSOF(answers) && findings->authorization; i++)
                for (size_t j = 0; j < json_length(actions); j++)
                        if (strcmp(json_get_string(findings->authorization, json_get_string_at(actions, j)),
                                   answers[i]) == 0)
                                return answers[i];
        return "";
}

static const char *status_of(const Findings *findings, json_object *rung, const char *answer)
{
        if (rung && json_get_bool(rung, "usable"))
                return strcmp(answer, "no") == 0 || strcmp(answer, "unknown") == 0 ? "not-authorized"
                                                                                   : "ready";
        switch (rung ? worst_obstacle(json_get_array(rung, "why")) : least_of_methods(findings)) {
        case OBSTACLE_USE:
                return "not-now";
        case OBSTACLE_NONE:
        case OBSTACLE_SETUP:
                return "not-as-configured";
        default:
                return "not-possible";
        }
}

/* What the device is just going through: a reset would be queued behind that. */
static void write_state(FILE *stream, const Findings *findings)
{
        const char *state = json_get_string(findings->properties, "State");

        if (*state && strcmp(state, "idle") != 0)
                (void) fprintf(stream, " (just now it is %s)", state);
}

static void write_sentence(FILE *stream, const Findings *findings, json_object *rung, const char *status,
                           const char *answer, json_object *all_codes)
{
        (void) fprintf(stream, "%s ", findings->address);
        if (!rung) {
                write_no_rungs(stream, findings);
        } else if (json_get_bool(rung, "usable")) {
                (void) fputs(strcmp(status, "ready") == 0 ? "can be reset now " : "could be reset now ",
                             stream);
                write_usable(stream, rung);
                if (strcmp(answer, "password") == 0)
                        (void) fputs("; polkit asks for a password", stream);
                else if (strcmp(answer, "no") == 0)
                        (void) fputs(", but polkit does not allow it to you", stream);
                else if (strcmp(answer, "unknown") == 0)
                        (void) fputs(", but polkit, which has to allow it, does not answer", stream);
        } else if (strcmp(status, "not-possible") == 0) {
                (void) fputs("cannot be reset: ", stream);
                write_codes(stream, all_codes);
        } else {
                (void) fprintf(stream, "cannot be reset now by %s: ", json_get_string(rung, "method"));
                write_codes(stream, json_get_array(rung, "why"));
        }
        write_state(stream, findings);
        (void) fputc('.', stream);
}

static int add_sentence(json_object *document, const Findings *findings, json_object *rung,
                        const char *status, const char *answer, json_object *all_codes)
{
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        int r;

        if (!stream)
                return -ENOMEM;
        write_sentence(stream, findings, rung, status, answer, all_codes);
        r = fclose(stream) == 0 ? json_add(document, "sentence", json_object_new_string(text)) : -ENOMEM;
        free(text);
        return r;
}

static json_object *own_codes(json_object *rung)
{
        json_object *codes = rung ? json_get_array(rung, "why") : NULL;

        return codes ? json_object_get(codes) : json_object_new_array();
}

static int add_facts(json_object *document, const Findings *findings, json_object *rung, const char *status,
                     const char *answer)
{
        int r = json_add(document, "address", json_object_new_string(findings->address));

        if (r >= 0)
                r = json_add(document, "status", json_object_new_string(status));
        if (r >= 0)
                r = json_add(document, "method",
                             json_object_new_string(rung ? json_get_string(rung, "method") : ""));
        if (r >= 0)
                r = json_add(document, "authorization", json_object_new_string(answer));
        return r;
}

int diagnosis_make(const Findings *findings, json_object **ret)
{
        _cleanup_json_ json_object *document = json_object_new_object(), *steps = json_object_new_array(),
                                   *doubts = json_object_new_array(), *all_codes = json_object_new_array();
        json_object *rung = diagnosis_usable_rung(findings->plan);
        const char *answer, *status;
        int r;

        if (!document || !steps || !doubts || !all_codes)
                return -ENOMEM;
        if (!rung)
                rung = closest_rung(findings->plan);
        answer = rung && json_get_bool(rung, "usable") ? hardest_answer(findings, rung) : "";
        status = status_of(findings, rung, answer);

        r = collect_codes(findings, all_codes);
        if (r >= 0)
                r = add_facts(document, findings, rung, status, answer);
        if (r >= 0)
                r = add_sentence(document, findings, rung, status, answer, all_codes);
        if (r >= 0)
                r = json_add(document, "why",
                             !rung || strcmp(status, "not-possible") == 0 ? json_object_get(all_codes)
                                                                          : own_codes(rung));
        if (r >= 0)
                r = diagnosis_add_steps(findings, rung, status, answer, all_codes, steps);
        if (r >= 0)
                r = diagnosis_add_doubts(findings, rung, doubts);
        if (r >= 0)
                r = json_add(document, "next_steps", steal_pointer(steps));
        if (r >= 0)
                r = json_add(document, "doubts", steal_pointer(doubts));
        if (r >= 0)
                *ret = steal_pointer(document);
        return r;
}
