/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Everything that can be a hint, one by one, with real inotify, pidfds, mounts and links; and how many it
 * may be.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <linux/rtnetlink.h>

#include "watch-bed.h"

START_TEST(nodes_are_listened_to)
{
        int fd;

        make_node("card0");
        make_node("quiet");
        set_nodes(&device, "card0", NULL);
        set_nodes(&other_device, "quiet", NULL);
        fd = open_node("card0");
        settle();
        ck_assert_uint_eq(n_notices, 1);
        ck_assert_uint_eq(n_last_devices, 1);
        ck_assert(pci_address_equal(&last_devices[0], &device));
        (void) close(fd);
        settle();
        ck_assert_uint_eq(n_notices, 2);
        ck_assert_uint_eq(n_owner_notices, 0);
        ck_assert_int_eq(chmod(path_of("card0"), 0640), 0);
        settle();
        ck_assert_uint_eq(n_notices, 2);
        ck_assert_uint_eq(n_owner_notices, 1);
        ck_assert(!is_armed());
}
END_TEST

START_TEST(a_node_may_be_of_several_devices)
{
        make_node("group");
        set_nodes(&device, "group", NULL);
        set_nodes(&other_device, "group", NULL);
        (void) close(open_node("group"));
        settle();
        ck_assert_uint_eq(n_last_devices, 2);

        watch_forget(watch, &device);
        (void) close(open_node("group"));
        settle();
        ck_assert_uint_eq(n_last_devices, 1);
        ck_assert(pci_address_equal(&last_devices[0], &other_device));
}
END_TEST

START_TEST(two_names_of_one_node_are_one)
{
        char alias[WORKER_NODE_MAX];

        make_node("node");
        strcpy(alias, path_of("alias"));
        ck_assert_int_eq(link(path_of("node"), alias), 0);
        set_nodes(&device, "node", "alias");
        set_nodes(&device, "node", "alias");
        (void) close(open_node("alias"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
        watch_forget(watch, &device);
        ck_assert_uint_eq(HASH_COUNT(watch->causes), 0);
}
END_TEST

START_TEST(a_node_that_comes_back_is_new)
{
        Answer answer;

        make_node("node");
        set_nodes(&device, "node", NULL);
        ck_assert_int_eq(unlink(path_of("node")), 0);
        settle();
        ck_assert_uint_eq(n_owner_notices, 1);
        make_node("node");
        answer_begin(&answer, &device);
        answer_add_node(&answer, "node");
        set(&answer);
        settle();
        ck_assert_uint_eq(n_notices, 1);
        set(&answer);
        settle();
        ck_assert_uint_eq(n_notices, 1);
        (void) close(open_node("node"));
        settle();
        ck_assert_uint_eq(n_notices, 2);
}
END_TEST

START_TEST(what_is_not_told_any_more_is_not_listened_to)
{
        make_node("old");
        make_node("new");
        set_nodes(&device, "old", NULL);
        set_nodes(&device, "new", NULL);
        (void) close(open_node("old"));
        settle();
        ck_assert_uint_eq(n_notices, 0);
        (void) close(open_node("new"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
        watch_forget(watch, &device);
        watch_forget(watch, &device);
        (void) close(open_node("new"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
        ck_assert_uint_eq(HASH_COUNT(watch->causes) + HASH_COUNT(watch->causes_by_wd), 0);
        ck_assert_uint_eq(HASH_COUNT(watch->devices), 0);
}
END_TEST

START_TEST(processes_are_followed_to_their_end)
{
        pid_t child = fork();
        Answer answer;

        if (child == 0) {
                (void) pause();
                _exit(0);
        }
        answer_begin(&answer, &device);
        answer_add_holder(&answer, HOLDER_VFIO, child);
        set(&answer);
        settle();
        n_notices = 0;
        set(&answer);
        settle();
        ck_assert_uint_eq(n_notices, 0);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        while (n_notices == 0)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert(pci_address_equal(&last_devices[0], &device));
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        settle();
        ck_assert_uint_eq(n_notices, 1);

        /* One that has ended before it could be followed. */
        set(&answer);
        settle();
        ck_assert_uint_eq(n_notices, 2);
        ck_assert_uint_eq(HASH_COUNT(watch->causes), 0);
}
END_TEST

START_TEST(a_storm_costs_one_notice)
{
        int queued;

        make_node("node");
        set_nodes(&device, "node", NULL);
        watch_set_pace(watch, UINT64_C(3600) * 1000 * 1000, 0);
        for (unsigned i = 0; i < 100; i++)
                (void) close(open_node("node"));
        while (sd_event_run(event, 0) > 0)
                ;
        ck_assert(is_armed());
        /* Until the notice nobody listens. */
        for (unsigned i = 0; i < 1000; i++)
                (void) close(open_node("node"));
        ck_assert_int_eq(ioctl(watch->inotify, FIONREAD, &queued), 0);
        ck_assert_int_eq(queued, 0);
        ck_assert_uint_eq(n_notices, 0);
        ck_assert_int_ge(sd_event_source_set_time(watch->timer, 0), 0);
        settle();
        ck_assert_uint_eq(n_notices, 1);
        watch_set_pace(watch, 0, 0);
        (void) close(open_node("node"));
        settle();
        ck_assert_uint_eq(n_notices, 2);
}
END_TEST

/* While a notice about use is on its way, one about owners may become due. */
START_TEST(owners_are_not_drowned)
{
        make_node("node");
        set_nodes(&device, "node", NULL);
        watch_set_pace(watch, UINT64_C(3600) * 1000 * 1000, 0);
        (void) close(open_node("node"));
        while (sd_event_run(event, 0) > 0)
                ;
        ck_assert_int_eq(chmod(path_of("node"), 0640), 0);
        while (sd_event_run(event, 0) > 0)
                ;
        ck_assert_int_ge(sd_event_source_set_time(watch->timer, 0), 0);
        settle();
        ck_assert_uint_eq(n_owner_notices, 1);
        ck_assert_uint_eq(n_notices, 0);
        watch_set_pace(watch, 0, 0);
        (void) close(open_node("node"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
}
END_TEST

/* Another node takes the path while nobody listens to its use. */
START_TEST(a_successor_of_a_node_is_heard)
{
        char next[WORKER_NODE_MAX];

        make_node("node");
        make_node("next");
        strcpy(next, path_of("next"));
        set_nodes(&device, "node", NULL);
        watch_set_pace(watch, UINT64_C(3600) * 1000 * 1000, 0);
        (void) close(open_node("node"));
        while (sd_event_run(event, 0) > 0)
                ;
        ck_assert_int_eq(rename(next, path_of("node")), 0);
        ck_assert_int_ge(sd_event_source_set_time(watch->timer, 0), 0);
        settle();
        watch_set_pace(watch, 0, 0);
        n_notices = n_owner_notices = 0;
        (void) close(open_node("node"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
        ck_assert_uint_eq(HASH_COUNT(watch->causes_by_wd), 1);
}
END_TEST

/* More happens than the kernel keeps. */
START_TEST(lost_events_are_about_everything)
{
        make_node("one");
        make_node("two");
        make_node("three");
        set_nodes(&device, "one", "two");
        set_nodes(&other_device, "three", NULL);
        for (unsigned i = 0; i < 20000; i++) {
                (void) close(open_node("one"));
                (void) close(open_node("two"));
        }
        settle();
        ck_assert_uint_gt(n_owner_notices, 0);
        ck_assert_uint_eq(n_last_devices, 2);
}
END_TEST

START_TEST(nodes_are_bounded)
{
        for (unsigned i = 0; i < WATCH_NODES_MAX + 20; i++) {
                PciAddress address = {.domain = i};
                Answer answer;
                char name[16];

                (void) snprintf(name, sizeof(name), "n%u", i);
                make_node(name);
                answer_begin(&answer, &address);
                answer_add_node(&answer, name);
                set(&answer);
        }
        settle();
        ck_assert_uint_eq(watch->n_nodes, WATCH_NODES_MAX);
        ck_assert_uint_eq(HASH_COUNT(watch->causes), WATCH_NODES_MAX);
        watch_forget(watch, &(PciAddress){.domain = 3});
        ck_assert_uint_eq(watch->n_nodes, WATCH_NODES_MAX - 1);
        set_nodes(&(PciAddress){.domain = WATCH_NODES_MAX + 1}, "n4097", NULL);
        (void) close(open_node("n4097"));
        settle();
        ck_assert_uint_eq(n_notices, 1);
}
END_TEST

static size_t n_told, told_nodes;

void __wrap_journal_watch_partial(const PciAddress *address, size_t n);
void __wrap_journal_watch_partial(const PciAddress *address, size_t n)
{
        ck_assert(pci_address_equal(address, &device));
        told_nodes = n;
        n_told++;
}

/* Nobody has to find out from what does not happen. */
START_TEST(more_nodes_are_told_once)
{
        Answer answer;

        n_told = 0;
        make_node("one");
        make_node("two");
        answer_begin(&answer, &device);
        answer_add_node(&answer, "one");
        answer_add_node(&answer, "two");
        set(&answer);
        ck_assert_uint_eq(n_told, 0);
        answer.use.more_nodes = true;
        set(&answer);
        set(&answer);
        ck_assert_uint_eq(n_told, 1);
        ck_assert_uint_eq(told_nodes, 2);
        /* What changed and came back is news. */
        answer.use.more_nodes = false;
        set(&answer);
        answer.use.more_nodes = true;
        set(&answer);
        ck_assert_uint_eq(n_told, 2);
}
END_TEST

START_TEST(descriptors_are_left_for_others)
{
        const struct rlimit few = {80, 80};
        pid_t children[40];
        Answer answer;

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        for (unsigned i = 0; i < ELEMENTSOF(children); i++) {
                PciAddress address = {.domain = i};

                children[i] = fork();
                if (children[i] == 0) {
                        (void) pause();
                        _exit(0);
                }
                answer_begin(&answer, &address);
                answer_add_holder(&answer, HOLDER_PROCESS, children[i]);
                set(&answer);
        }
        settle();
        ck_assert_uint_lt(watch->n_processes, 20);
        ck_assert_int_lt(dup(0), 80 - 60);
        for (unsigned i = 0; i < ELEMENTSOF(children); i++) {
                ck_assert_int_eq(kill(children[i], SIGKILL), 0);
                ck_assert_int_eq(waitpid(children[i], NULL, 0), children[i]);
        }
}
END_TEST

START_TEST(an_answer_about_others_is_refused)
{
        Answer answer;

        answer_begin(&answer, &device);
        ck_assert_int_eq(watch_set(watch, &other_device, &answer.scan), -ENOENT);
        ck_assert_uint_eq(HASH_COUNT(watch->devices), 0);
}
END_TEST

/* The machine as a whole. These need root. */

START_TEST(mounts_are_about_block_devices)
{
        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        watch_bed_again();
        ck_assert_int_eq(mknod(path_of("disk"), S_IFBLK | 0600, makedev(0, 0)), 0);
        make_node("card");
        set_nodes(&device, "disk", NULL);
        set_nodes(&other_device, "card", NULL);
        ck_assert_int_eq(mkdir(path_of("mnt"), 0700), 0);
        settle();
        ck_assert_uint_eq(n_notices, 0);
        ck_assert_int_eq(mount("none", path_of("mnt"), "tmpfs", 0, NULL), 0);
        settle();
        ck_assert_uint_eq(n_notices, 1);
        ck_assert_uint_eq(n_last_devices, 1);
        ck_assert(pci_address_equal(&last_devices[0], &device));
        ck_assert_int_eq(umount(path_of("mnt")), 0);
        settle();
        ck_assert_uint_eq(n_notices, 2);
}
END_TEST

static void set_loopback(int fd, bool up)
{
        struct ifreq request = {.ifr_name = "lo"};

        ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
        request.ifr_flags = (short) (up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
        ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

/* Adds 192.0.2.1/24 to lo, or says again that it is there. */
static void put_address(void)
{
        struct {
                struct nlmsghdr header;
                struct ifaddrmsg info;
                struct rtattr local;
                uint8_t local_address[4];
                struct rtattr lifetime;
                struct ifa_cacheinfo cache;
        } request = {
                .header = {sizeof(request), RTM_NEWADDR,
                           NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, 1, 0},
                .info = {AF_INET, 24, 0, 0, if_nametoindex("lo")},
                .local = {RTA_LENGTH(4), IFA_LOCAL},
                .local_address = {192, 0, 2, 1},
                .lifetime = {RTA_LENGTH(sizeof(struct ifa_cacheinfo)), IFA_CACHEINFO},
                .cache = {.ifa_prefered = 1000, .ifa_valid = 1000},
        };
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                char more[512];
        } reply;
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        ck_assert_int_eq(send(fd, &request, sizeof(request), 0), sizeof(request));
        ck_assert_int_gt(recv(fd, &reply, sizeof(reply), 0), 0);
        ck_assert_int_eq(reply.error.error, 0);
        (void) close(fd);
}

START_TEST(links_are_about_devices_with_interfaces)
{
        Answer answer;
        int fd;

        ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        watch_bed_again();
        make_node("card");
        set_nodes(&other_device, "card", NULL);
        answer_begin(&answer, &device);
        answer_add_holder(&answer, HOLDER_HIDDEN, 0);
        set(&answer);
        settle();
        ck_assert_uint_eq(n_notices, 0);

        set_loopback(fd, true);
        settle();
        ck_assert_uint_eq(n_notices, 1);
        ck_assert_uint_eq(n_last_devices, 1);
        ck_assert(pci_address_equal(&last_devices[0], &device));
        put_address();
        settle();
        ck_assert_uint_eq(n_notices, 2);
        /* The kernel tells it again, and it is no news. */
        put_address();
        settle();
        ck_assert_uint_eq(n_notices, 2);
        set_loopback(fd, false);
        settle();
        ck_assert_uint_gt(n_notices, 2);
        (void) close(fd);
}
END_TEST

static const struct {
        const char *path;
        const char *device;
} paths[] = {
        {"/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1", "0000:01:00.0"},
        {"/devices/pci0000:00/0000:00:01.0", "0000:00:01.0"},
        {"../../devices/pci0000:00/0000:00:02.0/0000:02:00.1/net/eth0", "0000:02:00.1"},
        {"../../devices/pci0000:00/10000:e0:06.0/pci10000:e0/10000:e1:00.0/block", "10000:e1:00.0"},
        {"/devices/virtual/net/br0", NULL},
        {"/devices/pci0000:00", NULL},
        {"0000:01:00.0", "0000:01:00.0"},
        {"/devices/0000:01:00.0-and-more", NULL},
        {"/devices/0000:01:00.8", NULL},
        {"/", NULL},
        {"", NULL},
};

START_TEST(the_last_address_of_a_path_counts)
{
        PciAddress address;
        char text[PCI_ADDRESS_STRING_MAX];
        bool found = watch_path_device(paths[_i].path, &address);

        ck_assert(found == !!paths[_i].device);
        if (found)
                ck_assert_str_eq(pci_address_format(&address, text), paths[_i].device);
}
END_TEST

static Suite *causes_suite(void)
{
        Suite *suite = suite_create("watch-causes");
        TCase *tcase = tcase_create("watch-causes");

        unit_add_table(suite, the_last_address_of_a_path_counts, paths);
        tcase_add_checked_fixture(tcase, watch_bed_setup, watch_bed_teardown);
        tcase_set_timeout(tcase, 30);
        tcase_add_test(tcase, nodes_are_listened_to);
        tcase_add_test(tcase, a_node_may_be_of_several_devices);
        tcase_add_test(tcase, two_names_of_one_node_are_one);
        tcase_add_test(tcase, a_node_that_comes_back_is_new);
        tcase_add_test(tcase, what_is_not_told_any_more_is_not_listened_to);
        tcase_add_test(tcase, processes_are_followed_to_their_end);
        tcase_add_test(tcase, a_storm_costs_one_notice);
        tcase_add_test(tcase, owners_are_not_drowned);
        tcase_add_test(tcase, a_successor_of_a_node_is_heard);
        tcase_add_test(tcase, lost_events_are_about_everything);
        tcase_add_test(tcase, nodes_are_bounded);
        tcase_add_test(tcase, more_nodes_are_told_once);
        tcase_add_test(tcase, descriptors_are_left_for_others);
        tcase_add_test(tcase, an_answer_about_others_is_refused);
        tcase_add_test(tcase, mounts_are_about_block_devices);
        tcase_add_test(tcase, links_are_about_devices_with_interfaces);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(causes_suite());
}
