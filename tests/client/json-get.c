/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * json-get [PATH]: reads standard input, which must be exactly one JSON document by the strict rules, and
 * prints the value at PATH (`error.details.attempts.0.errno`; strings bare). Fails if it is no JSON or has
 * no such value.
 */

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(json_object *, json_object_put);
DEFINE_CLEANUP(json_tokener *, json_tokener_free);

int main(int argc, char **argv)
{
        static char text[1 << 20];
        size_t n = fread(text, 1, sizeof(text) - 1, stdin);
        _cleanup_(cleanup_json_tokener_free) json_tokener *tokener = json_tokener_new();
        _cleanup_(cleanup_json_object_put) json_object *document = NULL;
        json_object *value;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        document = value = json_tokener_parse_ex(tokener, text, (int) n + 1);
        if (!value ||
            strspn(text + json_tokener_get_parse_end(tokener), "\n") + json_tokener_get_parse_end(tokener) !=
                    n) {
                (void) fprintf(stderr, "no JSON: %s\n",
                               json_tokener_error_desc(json_tokener_get_error(tokener)));
                return EXIT_FAILURE;
        }

        for (char *part = argc > 1 ? strtok(argv[1], ".") : NULL; part; part = strtok(NULL, ".")) {
                if (json_object_is_type(value, json_type_array))
                        value = json_object_array_get_idx(value, strtoul(part, NULL, 10));
                else if (!json_object_object_get_ex(value, part, &value))
                        value = NULL;
                if (!value) {
                        (void) fprintf(stderr, "no \"%s\" there\n", part);
                        return EXIT_FAILURE;
                }
        }
        (void) puts(json_object_get_string(value));
        return EXIT_SUCCESS;
}
