/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whose device it is: what a udev rule says (`PCIRESETD_OWNER`), else the user at the seat whose node of the
 * device is marked `uaccess`.
 *
 * Both are read from the files in /run in which udev and logind keep them. libudev would open the device's
 * `uevent` for the same answer and so wait for a reset, and loading it, for logind libsystemd too, takes
 * longer than most scans. The lines read here have looked the same since systemd 44; one that does not
 * look so is not understood and makes nobody an owner.
 */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "shared/cleanup.h"
#include "worker/holders-look.h"

#define DEFAULT_SEAT "seat0"

/* The rest of the first line that begins so, in a new string; NULL if there is none. */
static char *find_line(const char *text, const char *beginning)
{
        size_t n = strlen(beginning);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, beginning, n) == 0)
                        return strndup(line + n, strcspn(line + n, "\n"));
        }
        return NULL;
}

/* A user's or, with `@`, a group's name. Anything else owns nothing. */
static bool name_is_valid(const char *name)
{
        size_t n;

        if (*name == '@')
                name++;
        n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$-");
        return n > 0 && name[n] == '\0' && name[0] != '-';
}

static void set_owner(Member *member, const char *name)
{
        if (name_is_valid(name) && strlen(name) < sizeof(member->owner))
                memcpy(member->owner, name, strlen(name) + 1);
}

/* Whoever is at the seat now. */
static void set_owner_at_seat(Look *look, Member *member, const char *seat)
{
        _cleanup_free_ char *text = NULL, *value = NULL;
        struct passwd entry, *found = NULL;
        unsigned long uid;
        char buffer[4096], *end;

        if (strchr(seat, '/') || seat[0] == '.' ||
            look_read(look->roots.run, &text, "systemd/seats/%s", seat) < 0)
                return;
        value = find_line(text, "ACTIVE_UID=");
        if (!value || value[0] < '0' || value[0] > '9')
                return;
        uid = strtoul(value, &end, 10);
        if (*end == '\0' && uid < UINT32_MAX &&
            getpwuid_r((uid_t) uid, &entry, buffer, sizeof(buffer), &found) == 0 && found)
                set_owner(member, found->pw_name);
}

/* `Q:` are the tags that a device carries now, `G:` those that it has carried ever; systemd before 247 knew
 * only the latter. */
static bool has_tag(const char *text, const char *tag)
{
        _cleanup_free_ char *any = find_line(text, "Q:"), *found = NULL;
        char line[32];

        (void) snprintf(line, sizeof(line), "%s:%s", any ? "Q" : "G", tag);
        for (const char *at = strstr(text, line); at; at = strstr(at + 1, line))
                if ((at == text || at[-1] == '\n') && (at[strlen(line)] == '\n' || !at[strlen(line)]))
                        return true;
        return false;
}

static void look_at_node(Look *look, const Node *node)
{
        Member *member = &look->members[node->member];
        _cleanup_free_ char *text = NULL, *seat = NULL;

        if (member->owner[0] != '\0' || node->is_stacked ||
            look_read(look->roots.run, &text, "udev/data/%c%u:%u", node->type == NODE_BLOCK ? 'b' : 'c',
                      major(node->rdev), minor(node->rdev)) < 0 ||
            !has_tag(text, "uaccess"))
                return;
        seat = find_line(text, "E:ID_SEAT=");
        set_owner_at_seat(look, member, seat ? seat : DEFAULT_SEAT);
}

int look_for_owners(Look *look)
{
        for (size_t i = 0; i < look->n_members; i++) {
                _cleanup_free_ char *text = NULL, *owner = NULL;

                /* udev has nothing to say of most devices. */
                if (look_read(look->roots.run, &text, "udev/data/+pci:%s", look->members[i].name) < 0)
                        continue;
                owner = find_line(text, "E:PCIRESETD_OWNER=");
                if (owner)
                        set_owner(&look->members[i], owner);
        }
        for (size_t i = 0; i < look->n_nodes; i++)
                look_at_node(look, &look->nodes[i]);
        return 0;
}
