/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A reader for the little XML that introspection documents are: tags with attributes, comments, nothing
 * else.
 */

#include "introspection.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"

#define TEXT_MAX 512U

typedef struct Tag {
        char name[32];
        char text[TEXT_MAX]; /* the attributes as they stand there */
        bool closes, empty;
} Tag;

/* The next tag behind `*p`, which moves on. False at the end. */
static bool next_tag(const char **p, Tag *tag)
{
        const char *open, *end;
        size_t n;

        for (;;) {
                open = strchr(*p, '<');
                if (!open)
                        return false;
                if (strncmp(open, "<!--", 4) == 0) {
                        end = strstr(open, "-->");
                        ck_assert_ptr_nonnull(end);
                        *p = end + 3;
                } else if (open[1] == '?' || open[1] == '!') {
                        *p = strchr(open, '>') + 1;
                } else
                        break;
        }
        end = strchr(open, '>');
        ck_assert_ptr_nonnull(end);
        *p = end + 1;
        tag->closes = *++open == '/';
        open += tag->closes;
        tag->empty = end[-1] == '/';
        n = strcspn(open, " \n\t/>");
        ck_assert_uint_lt(n, sizeof(tag->name));
        (void) snprintf(tag->name, sizeof(tag->name), "%.*s", (int) n, open);
        ck_assert_int_lt(end - open, (long) sizeof(tag->text));
        (void) snprintf(tag->text, sizeof(tag->text), "%.*s", (int) (end - open - (long) n), open + n);
        return true;
}

/* Static buffers, one for each name of an attribute; "" if it is not there. */
static const char *attribute(const Tag *tag, const char *name, char value[static TEXT_MAX])
{
        char key[32];
        const char *at;

        (void) snprintf(key, sizeof(key), " %s=\"", name);
        at = strstr(tag->text, key);
        value[0] = '\0';
        if (at) {
                at += strlen(key);
                (void) snprintf(value, TEXT_MAX, "%.*s", (int) strcspn(at, "\""), at);
        }
        return value;
}

static void describe_argument(FILE *out, const Tag *tag, bool of_signal)
{
        char name[TEXT_MAX], type[TEXT_MAX], direction[TEXT_MAX];

        attribute(tag, "direction", direction);
        (void) fprintf(out, "    %s %s %s\n",
                       *direction  ? direction
                       : of_signal ? "out"
                                   : "in",
                       attribute(tag, "type", type), attribute(tag, "name", name));
}

/* `p` stands behind the opening tag of a property that is not empty. */
static void find_emits(const char *p, char emits[static TEXT_MAX])
{
        char name[TEXT_MAX];
        Tag tag;

        (void) stpcpy(emits, "true");
        while (next_tag(&p, &tag) && strcmp(tag.name, "annotation") == 0)
                if (strcmp(attribute(&tag, "name", name),
                           "org.freedesktop.DBus.Property.EmitsChangedSignal") == 0)
                        attribute(&tag, "value", emits);
}

static void describe_member(FILE *out, const Tag *tag, const char *p)
{
        char name[TEXT_MAX], type[TEXT_MAX], access[TEXT_MAX], emits[TEXT_MAX] = "true";

        (void) fprintf(out, "%s %s", tag->name, attribute(tag, "name", name));
        if (strcmp(tag->name, "property") == 0) {
                if (!tag->empty)
                        find_emits(p, emits);
                (void) fprintf(out, " %s %s %s", attribute(tag, "type", type),
                               attribute(tag, "access", access), emits);
        }
        (void) fputc('\n', out);
}

/* The members of one kind. Returns false if the document has no such interface. */
static bool describe_kind(FILE *out, const char *xml, const char *interface, const char *kind)
{
        bool inside = false, found = false, wanted = false;
        char name[TEXT_MAX];
        Tag tag;

        while (next_tag(&xml, &tag)) {
                if (strcmp(tag.name, "interface") == 0) {
                        inside = !tag.closes && strcmp(attribute(&tag, "name", name), interface) == 0;
                        found = found || inside;
                } else if (!inside || tag.closes)
                        continue;
                else if (strcmp(tag.name, "arg") == 0) {
                        if (wanted)
                                describe_argument(out, &tag, strcmp(kind, "signal") == 0);
                } else if (strcmp(tag.name, "annotation") != 0) {
                        wanted = strcmp(tag.name, kind) == 0;
                        if (wanted)
                                describe_member(out, &tag, xml);
                } else if (wanted && strstr(tag.text, "org.freedesktop.systemd1.Privileged"))
                        /* sd-bus would refuse the call of everybody but root, before polkit is asked. */
                        (void) fprintf(out, "    privileged\n");
        }
        return found;
}

char *introspection_describe(const char *xml, const char *interface)
{
        static const char *const kinds[] = {"method", "signal", "property"};
        bool found = false;
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                found = describe_kind(out, xml, interface, kinds[i]);
        ck_assert_int_eq(fclose(out), 0);
        if (!found) {
                free(text);
                return NULL;
        }
        return text;
}

void introspection_for_each_method(const char *xml, void (*found)(const char *interface, const char *member,
                                                                  const char *signature))
{
        char interface[TEXT_MAX] = "", member[TEXT_MAX] = "", signature[TEXT_MAX] = "", value[TEXT_MAX];
        Tag tag;

        while (next_tag(&xml, &tag)) {
                bool is_method = strcmp(tag.name, "method") == 0;

                if (strcmp(tag.name, "interface") == 0 && !tag.closes)
                        attribute(&tag, "name", interface);
                else if (is_method && !tag.closes) {
                        attribute(&tag, "name", member);
                        signature[0] = '\0';
                } else if (strcmp(tag.name, "arg") == 0 &&
                           strcmp(attribute(&tag, "direction", value), "in") == 0) {
                        attribute(&tag, "type", value);
                        ck_assert_uint_lt(strlen(signature) + strlen(value), sizeof(signature));
                        (void) stpcpy(signature + strlen(signature), value);
                }
                if (is_method && (tag.closes || tag.empty))
                        found(interface, member, signature);
        }
}
