/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Network interfaces of the devices that were moved into other network namespaces, as containers have them.
 * Sysfs shows only those of our own namespace. So each other one is entered, by a thread that does nothing
 * else and ends afterwards, and asked for its links and addresses.
 *
 * Namespaces are found by the processes that live in them, and by the files that keep them where no process
 * does (`ip netns`, Docker) as far as the first process sees these. One that is kept by a descriptor alone,
 * or by a thread that is apart from its process, is not found; and what cannot be entered is left out. Then
 * all is as it was without this: a network function without any interface in sight may have it there, and
 * counts as used (HOLDER_HIDDEN).
 */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/driver.h"
#include "worker/clock.h"
#include "worker/holders-look.h"
#include "worker/namespaces.h"
#include "worker/rtnetlink.h"

#define CLASS_NETWORK 0x02U
#define CLASS_SERIAL  0x0cU /* USB and InfiniBand */

/* What is not visited by then is left out: each visit waits for the kernel's lock. */
#define VISITS_USEC (10 * USEC_PER_SEC)

typedef struct Visits {
        Look *look;
        Namespaces namespaces;
        int result;
} Visits;

/* ---- which there are ---- */

/* A line of mountinfo about a bound namespace:
 * `36 25 0:4 net:[4026532281] /run/netns/blue rw shared:5 - nsfs nsfs rw`. */
static int note_mount(Visits *visits, const char *line)
{
        _cleanup_free_ char *where = NULL, *path = NULL;
        Namespace *namespace;
        uint64_t inode;
        int r;

        if (!strstr(line, " - nsfs ") ||
            sscanf(line, "%*u %*u %*u:%*u net:[%" SCNu64 "] %ms", &inode, &where) != 2)
                return 0;
        look_unescape(where);
        if (asprintf(&path, "1/root%s", where) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = namespaces_add(&visits->namespaces, visits->look, inode, path, &namespace);
        if (r > 0 && !namespace->path)
        namespace->path = steal_pointer(where);
        return r < 0 ? r : 0;
}

static int find_by_mounts(Visits *visits)
{
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        int r = look_read(visits->look->roots.proc, &text, "1/mountinfo");

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (char *line = strtok_r(text, "\n", &save); line && r >= 0; line = strtok_r(NULL, "\n", &save))
                r = note_mount(visits, line);
        return r;
}

/* ---- what is in them ---- */

/* The PCI device that is the link's own, or that it is below, as virtio's and USB's are: the last one in the
 * path of its device in sysfs. */
static bool find_device(const Look *look, const NetLink *link, PciAddress *ret)
{
        _cleanup_free_ char *path = NULL;
        char target[PATH_MAX], *save = NULL;
        bool found = false;
        ssize_t n;

        if (strcmp(link->bus, "pci") == 0)
                return pci_address_parse(link->device, ret) >= 0;
        if (link->bus[0] == '\0' || link->device[0] == '\0' ||
            asprintf(&path, "%s/bus/%s/devices/%s", look->roots.sys, link->bus, link->device) < 0) {
                path = NULL;
                return false;
        }
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        for (const char *part = strtok_r(target, "/", &save); part; part = strtok_r(NULL, "/", &save))
                found |= pci_address_parse(part, ret) >= 0;
        return found;
}

static size_t find_member(const Look *look, const NetLink *link)
{
        PciAddress address;

        if (find_device(look, link, &address))
                for (size_t i = 0; i < look->n_members; i++)
                        if (pci_address_equal(&look->members[i].expected->address, &address))
                                return i;
        return SIZE_MAX;
}

/* As in our own namespace: in use if it is up, and hard if there is an address on it or above it. */
static int judge(Look *look, const Namespace *namespace, NetLinks *links, const NetLink *link, size_t member)
{
        char what[HOLDER_WHAT_MAX], name[HOLDER_WHAT_MAX];
        const NetLink *carrier = NULL;
        Holder holder = {.silent = true};
        int r;

        look->members[member].has_interface = true;
        if (!link->is_up)
                return 0;
        r = net_links_find_address(links, link, &carrier);
        if (r < 0)
                return r;
        if (namespace->path)
                (void) snprintf(name, sizeof(name), "%.70s", namespace->path);
        else
                (void) snprintf(name, sizeof(name), "%" PRIu64, namespace->inode);
        if (!carrier)
                (void) snprintf(what, sizeof(what), "%s in netns %s", link->name, name);
        else if (carrier == link)
                (void) snprintf(what, sizeof(what), "%s %s in netns %s", link->name, link->address, name);
        else
                (void) snprintf(what, sizeof(what), "%s (in %s %s) in netns %s", link->name, carrier->name,
                                carrier->address, name);
        if (namespace->pid != 0)
                look_describe(look, namespace->pid, &holder);
        return look_add(look, member, carrier ? HOLDER_NETWORK : HOLDER_INTERFACE, &holder, what);
}

static bool is_of_member(void *userdata, const NetLink *link)
{
        return find_member(userdata, link) != SIZE_MAX;
}

static int visit(Look *look, const Namespace *namespace, uint64_t end)
{
        _cleanup_(net_links_done) NetLinks links = {};
        _cleanup_close_ int fd = net_links_socket(namespace->fd);
        int r;

        if (fd < 0)
                return 0;
        r = net_links_read(fd, end, is_of_member, look, &links);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (size_t i = 0; i < links.n && r >= 0; i++) {
                size_t member = find_member(look, &links.all[i]);

                if (member != SIZE_MAX)
                        r = judge(look, namespace, &links, &links.all[i], member);
        }
        return r;
}

static void *visit_all(void *data)
{
        Visits *visits = data;
        uint64_t end = now_usec() + VISITS_USEC;

        for (size_t i = 0; i < visits->namespaces.n && visits->result >= 0 && now_usec() < end; i++)
                visits->result = visit(visits->look, &visits->namespaces.all[i], end);
        return NULL;
}

/* ---- the whole ---- */

/* Disks and graphics need not wait for all that. */
static bool may_have_interfaces(const Member *member)
{
        if (member->is_bridge || driver_kind(member->driver) != DRIVER_HOST)
                return false;
        return member->has_interface || member->class >> 16 == CLASS_NETWORK ||
               member->class >> 16 == CLASS_SERIAL;
}

int look_at_other_networks(Look *look)
{
        Visits visits = {.look = look};
        bool is_needed = false;
        pthread_t thread;
        int r;

        for (size_t i = 0; i < look->n_members; i++)
                is_needed |= may_have_interfaces(&look->members[i]);
        if (!is_needed)
                return 0;
        r = namespaces_find(&visits.namespaces, look, "net");
        if (r >= 0)
                r = find_by_mounts(&visits);
        /* It stays in the last namespace that it was in. */
        if (r >= 0 && visits.namespaces.n > 0 && pthread_create(&thread, NULL, visit_all, &visits) == 0) {
                (void) pthread_join(thread, NULL);
                r = visits.result;
        }
        namespaces_done(&visits.namespaces);
        return r == -ENOENT ? 0 : r;
}
