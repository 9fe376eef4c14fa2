/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Interfaces of the devices in other network namespaces. Files stand for the namespaces, and
 * fake-rtnetlink.h for the kernel.
 */

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-rtnetlink.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/clock.h"
#include "worker/holders-look.h"
#include "worker/rtnetlink.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"

#define NETWORK  0x020000U
#define GRAPHICS 0x030000U

#define MANY 1100U

/* ---- the machine ---- */

static char root[] = "/tmp/test-holders-netns.XXXXXX";
static char paths[2][64];
static WorkerMember expected[2];
static Member members[2];
static Look look;

static void make_parents(char *path)
{
        for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void) mkdir(path, 0755);
                *slash = '/';
        }
}

static ino_t put(const char *name, const char *text)
{
        char path[256];
        struct stat st;
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", root, name);
        make_parents(path);
        f = fopen(path, "we");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_ino;
}

static void put_link(const char *name, const char *target)
{
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", root, name);
        make_parents(path);
        ck_assert_int_eq(symlink(target, path), 0);
}

/* A process in the namespace of another one, or in one of its own (NULL). */
static ino_t add_process(const char *pid, const char *same_as)
{
        char name[64], path[256], other[256];
        struct stat st;

        (void) snprintf(name, sizeof(name), "proc/%s/comm", pid);
        (void) put(name, "app\n");
        (void) snprintf(name, sizeof(name), "proc/%s/status", pid);
        (void) put(name, "Name:\tapp\nUid:\t1001\t0\t0\t0\n");
        (void) snprintf(name, sizeof(name), "proc/%s/cgroup", pid);
        (void) put(name, "0::/system.slice/box.service\n");
        (void) snprintf(name, sizeof(name), "proc/%s/ns/net", pid);
        if (!same_as)
                return put(name, "");
        (void) snprintf(path, sizeof(path), "%s/%s", root, name);
        (void) snprintf(other, sizeof(other), "%s/proc/%s/ns/net", root, same_as);
        make_parents(path);
        ck_assert_int_eq(link(other, path), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_ino;
}

/* A bound namespace, as the first process's mountinfo shows it. */
static void bind_namespace(ino_t inode, const char *where)
{
        char text[256];

        (void) snprintf(text, sizeof(text),
                        "22 1 0:20 / / rw - tmpfs tmpfs rw\n"
                        "36 25 0:4 mnt:[4026532280] /run/mnt rw shared:5 - nsfs nsfs rw\n"
                        "37 25 0:4 net:[%lu] %s rw shared:5 - nsfs nsfs rw\n",
                        (unsigned long) inode, where);
        (void) put("proc/1/mountinfo", text);
}

static void set_member(size_t i, const char *address, uint32_t class, const char *driver)
{
        ck_assert_int_eq(pci_address_parse(address, &expected[i].address), 0);
        free(members[i].holders);
        members[i] = (Member){.expected = &expected[i], .class = class, .fd = -EBADF};
        (void) snprintf(members[i].driver, sizeof(members[i].driver), "%s", driver);
}

static void setup(void)
{
        (void) strcpy(root + strlen(root) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        (void) snprintf(paths[0], sizeof(paths[0]), "%s/proc", root);
        (void) snprintf(paths[1], sizeof(paths[1]), "%s/sys", root);
        look = (Look){.roots = {.proc = paths[0], .sys = paths[1]}, .members = members, .n_members = 2};
        (void) pthread_mutex_init(&look.lock, NULL);
        rtnetlink_begin();
        set_member(0, A, NETWORK, "mlx4_core");
        set_member(1, B, NETWORK, "e1000e");
        (void) add_process("1", NULL);
        (void) add_process("self", "1");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        return remove(path);
}

static void teardown(void)
{
        rtnetlink_hang_up();
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                free(members[i].holders);
                members[i].holders = NULL;
        }
        ck_assert_int_eq(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The holders of the first member as one text; the second has none. */
static void expect(const char *wanted)
{
        char all[1024] = "";

        ck_assert_int_eq(look_at_other_networks(&look), 0);
        ck_assert_msg(look.error == 0, "%s", look.message);
        ck_assert_uint_eq(members[1].n_holders, 0);
        for (size_t i = 0; i < members[0].n_holders; i++) {
                const Holder *holder = &members[0].holders[i];
                size_t n = strlen(all);

                ck_assert(holder->silent);
                (void) snprintf(all + n, sizeof(all) - n, "%s %s;", holder_kind_to_string(holder->kind),
                                holder->what);
        }
        ck_assert_str_eq(all, wanted);
}

/* Gives the namespace of process 812 the interfaces and the address, and expects what is found: `%lu` is its
 * number. */
static void expect_in(const Link *links, size_t n, const Address *address, const char *wanted)
{
        ino_t inode = add_process("812", NULL);
        Answer *answer = answer_of(inode);
        char text[256] = "";

        for (size_t i = 0; i < n; i++)
                add_link(answer, &links[i]);
        if (address)
                add_address(answer, address);
        if (*wanted)
                (void) snprintf(text, sizeof(text), "%s %lu;", wanted, (unsigned long) inode);
        expect(text);
}

/* ---- the tests ---- */

/* The other port is in our own namespace, with nothing to see. */
START_TEST(one_of_two_ports)
{
        const Link links[] = {{"lo", 1, true}, {"eth1", 2, true, "pci", A}};
        const Address address = {2, "192.0.2.1", NULL, 24};
        const Holder *holder;

        members[0].has_interface = true;
        expect_in(links, 2, &address, "network eth1 192.0.2.1/24 in netns");
        holder = &members[0].holders[0];
        ck_assert_uint_eq(holder->pid, 812);
        ck_assert_uint_eq(holder->uid, 1001);
        ck_assert_str_eq(holder->command, "app");
        ck_assert_str_eq(holder->unit, "box.service");
        ck_assert(pci_address_equal(&holder->device, &expected[0].address));
        ck_assert(!members[1].has_interface);
}
END_TEST

#define UP   true
#define DOWN false

static const struct {
        Link links[3];
        Address address;
        const char *wanted;
} interfaces[] = {
        {{{"e", 2, UP, "pci", A}}, {2, "192.0.2.1", NULL, 24}, "network e 192.0.2.1/24 in netns"},
        {{{"e", 2, UP, "pci", A}}, {2, "2001:db8::1", NULL, 64}, "network e 2001:db8::1/64 in netns"},
        /* The address of the other end is not ours. */
        {{{"e", 2, UP, "pci", A}}, {2, "192.0.2.1", "192.0.2.9", 32}, "network e 192.0.2.1/32 in netns"},
        {{{"e", 2, UP, "pci", A}}, {2, "fe80::1", NULL, 64}, "interface e in netns"},
        {{{"e", 2, UP, "pci", A}, {"f", 3, UP}}, {3, "192.0.2.1", NULL, 24}, "interface e in netns"},
        {{{"e", 2, DOWN, "pci", A}}, {2, "192.0.2.1", NULL, 24}, ""},
        /* On what stands above it: a bridge, a VLAN, a VLAN of the bridge. */
        {{{"e", 2, UP, "pci", A, 3}, {"br", 3, UP}},
         {3, "192.0.2.1", NULL, 24},
         "network e (in br 192.0.2.1/24) in netns"},
        {{{"e", 2, UP, "pci", A, 3}, {"br", 3, DOWN}}, {3, "192.0.2.1", NULL, 24}, "interface e in netns"},
        {{{"e", 2, UP, "pci", A}, {"e.7", 3, UP, NULL, NULL, 0, 2}},
         {3, "192.0.2.1", NULL, 24},
         "network e (in e.7 192.0.2.1/24) in netns"},
        {{{"e", 2, UP, "pci", A, 3}, {"br", 3, UP}, {"br.7", 4, UP, NULL, NULL, 0, 3}},
         {4, "192.0.2.1", NULL, 24},
         "network e (in br.7 192.0.2.1/24) in netns"},
        /* Its number is one of another namespace. */
        {{{"e", 2, UP, "pci", A}, {"veth", 3, UP, NULL, NULL, 0, 2, true}},
         {3, "192.0.2.1", NULL, 24},
         "interface e in netns"},
        /* Two that are built on each other, as the ends of a pair say. */
        {{{"e", 2, UP, "pci", A, 3}, {"x", 3, UP, NULL, NULL, 0, 4}, {"y", 4, UP, NULL, NULL, 0, 3}},
         {9, "192.0.2.1", NULL, 24},
         "interface e in netns"},
        {{{"e", 2, UP, "pci", A, 3}, {"ovs-system", 3, DOWN}, {"br-ex", 4, UP, NULL, NULL, 3}},
         {4, "192.0.2.1", NULL, 24},
         "network e (in br-ex 192.0.2.1/24) in netns"},
        /* Others' devices, and what is about none. */
        {{{"e", 2, UP, "pci", "0000:03:00.0"}}, {2, "192.0.2.1", NULL, 24}, ""},
        {{{"e", 2, UP}}, {2, "192.0.2.1", NULL, 24}, ""},
        {{{"e", 2, UP, "pci"}}, {2, "192.0.2.1", NULL, 24}, ""},
        {{{"e", 2, UP, NULL, A}}, {2, "192.0.2.1", NULL, 24}, ""},
        {{{"e", 2, UP, "virtio", "virtio1"}}, {2, "192.0.2.1", NULL, 24}, ""},
        /* A device below the function. */
        {{{"e", 2, UP, "virtio", "virtio0"}}, {2, "192.0.2.1", NULL, 24}, "network e 192.0.2.1/24 in netns"},
        {{{"e", 2, UP, "usb", "1-1:1.0"}}, {2, "192.0.2.1", NULL, 24}, "network e 192.0.2.1/24 in netns"},
};

START_TEST(states_and_addresses)
{
        size_t n = 0;

        put_link("sys/bus/virtio/devices/virtio0", "../../../devices/pci0000:00/0000:00:01.0/" A "/virtio0");
        put_link("sys/bus/usb/devices/1-1:1.0", "../../../devices/pci0000:00/" A "/usb1/1-1/1-1:1.0");
        while (n < ELEMENTSOF(interfaces[_i].links) && interfaces[_i].links[n].name)
                n++;
        expect_in(interfaces[_i].links, n, &interfaces[_i].address, interfaces[_i].wanted);
}
END_TEST

/* Down it is no use, but it is no secret either where it is. */
START_TEST(what_is_seen_is_not_hidden)
{
        const Link link = {"eth1", 2, false, "pci", A};

        expect_in(&link, 1, NULL, "");
        ck_assert(members[0].has_interface);
        ck_assert(!members[1].has_interface);
}
END_TEST

/* One that no process lives in, with and without a strange name. */
START_TEST(bound_namespaces)
{
        static const char *const where[][2] = {{"run/netns/blue", "/run/netns/blue"},
                                               {"run/my nets/blue", "/run/my\\040nets/blue"}};
        const Link link = {"eth1", 2, true, "pci", A};
        char path[64], wanted[128];
        ino_t inode;

        (void) snprintf(path, sizeof(path), "proc/1/root/%s", where[_i][0]);
        inode = put(path, "");
        bind_namespace(inode, where[_i][1]);
        add_link(answer_of(inode), &link);
        (void) snprintf(wanted, sizeof(wanted), "interface eth1 in netns /%s;", where[_i][0]);
        expect(wanted);
        ck_assert_uint_eq(members[0].holders[0].pid, 0);
}
END_TEST

START_TEST(both_names_of_a_namespace)
{
        const Link link = {"eth1", 2, true, "pci", A};
        ino_t inode = add_process("812", NULL);

        (void) add_process("90", "812");
        (void) add_process("4711", "812");
        bind_namespace(inode, "/run/netns/blue");
        add_link(answer_of(inode), &link);
        expect("interface eth1 in netns /run/netns/blue;");
        ck_assert_uint_eq(n_visits, 1);
        /* The first one, which a container ends with. */
        ck_assert_uint_eq(members[0].holders[0].pid, 90);
}
END_TEST

/* Something else is there by now. */
START_TEST(a_bound_file_that_is_another)
{
        ino_t inode = put("proc/1/root/run/netns/blue", "");

        bind_namespace(inode + 1, "/run/netns/blue");
        expect("");
        ck_assert_uint_eq(n_visits, 0);
}
END_TEST

static const struct {
        uint32_t class;
        const char *driver;
        bool has_interface;
        unsigned n_visits;
} visited[] = {
        {NETWORK, "e1000e", false, 1},  {NETWORK, "vfio-pci", false, 0}, {NETWORK, "", false, 0},
        {GRAPHICS, "amdgpu", false, 0}, {GRAPHICS, "odd", true, 1},      {0x0c0330, "xhci_hcd", false, 1},
};

/* Our own namespace, which process 1 is in, is none of the others. */
START_TEST(only_for_those_that_may_have_some)
{
        set_member(0, A, visited[_i].class, visited[_i].driver);
        set_member(1, B, GRAPHICS, "amdgpu");
        members[0].has_interface = visited[_i].has_interface;
        (void) add_process("812", NULL);
        visit_error = EPERM;
        expect("");
        ck_assert_uint_eq(n_visits, visited[_i].n_visits);
        ck_assert(members[0].has_interface == visited[_i].has_interface);
}
END_TEST

static const struct {
        unsigned n_torn;
        int error;
        bool is_seen;
} troubles[] = {{0, 0, true}, {2, 0, true}, {3, 0, false}, {0, EPERM, false}};

/* What cannot be had is left out, and the next namespace is visited all the same. */
START_TEST(what_the_kernel_does_not_tell)
{
        const Link link = {"eth1", 2, true, "pci", A}, other = {"eth2", 3, true, "pci", A};
        Answer *answer = answer_of(add_process("812", NULL)), *next = answer_of(add_process("813", NULL));
        size_t n = troubles[_i].is_seen ? 2 : 1;

        add_link(answer, &link);
        answer->n_torn = troubles[_i].n_torn;
        answer->error = troubles[_i].error;
        if (answer->error != 0)
                answer->links.n = 0;
        add_link(next, &other);
        ck_assert_int_eq(look_at_other_networks(&look), 0);
        ck_assert_uint_eq(n_visits, 2);
        ck_assert_uint_eq(members[0].n_holders, n);
}
END_TEST

/* Cut short at every length, it is nobody's interface or the right one, and nothing is read beyond. */
START_TEST(messages_that_are_cut)
{
        const Link link = {"eth1", 2, true, "pci", A};
        ino_t inode = add_process("812", NULL);
        Answer whole = {.inode = inode};

        add_link(&whole, &link);
        for (size_t n = 1; n < whole.links.n; n++) {
                n_answers = 0;
                *answer_of(inode) = whole;
                answers[0].links.n = n;
                ck_assert_int_eq(look_at_other_networks(&look), 0);
                ck_assert_uint_eq(members[0].n_holders, 0);
                rtnetlink_hang_up();
        }
        *answer_of(inode) = whole;
}
END_TEST

/* Anybody can have a namespace, and in there as many addresses as he likes: nobody wants to hear of them. */
START_TEST(addresses_of_strangers)
{
        const Link stranger = {"eth7", 2, true, "pci", "0000:07:00.0"}, link = {"eth1", 2, true, "pci", A};

        add_link(answer_of(add_process("812", NULL)), &stranger);
        add_link(answer_of(add_process("813", NULL)), &link);
        ck_assert_int_eq(look_at_other_networks(&look), 0);
        ck_assert_uint_eq(n_peers, 2);
        ck_assert_uint_eq(count_requests(peers[0]) + count_requests(peers[1]), 3);
        ck_assert_uint_eq(members[0].n_holders, 1);
}
END_TEST

static bool all_are(void *userdata, const NetLink *link)
{
        return true;
}

/* It is not waited for longer than there is time. */
START_TEST(no_time_is_left)
{
        const Link link = {"eth1", 2, true, "pci", A};
        NetLinks links = {};
        int fds[2];
        Answer answer = {};

        add_link(&answer, &link);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        send_all(fds[1], &answer.links, 0, 0);
        ck_assert_int_eq(net_links_read(fds[0], now_usec(), all_are, NULL, &links), -ETIMEDOUT);
        net_links_done(&links);
        (void) close(fds[0]);
        (void) close(fds[1]);
}
END_TEST

START_TEST(more_than_anybody_has)
{
        char path[64];

        visit_error = EPERM;
        for (unsigned i = 0; i < MANY; i++) {
                (void) snprintf(path, sizeof(path), "proc/%u/ns/net", 1000 + i);
                (void) put(path, "");
        }
        expect("");
        ck_assert_uint_gt(n_visits, 0);
        ck_assert_uint_le(n_visits, 1024);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-netns");
        TCase *tcase = tcase_create("netns"), *many = tcase_create("many");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, one_of_two_ports);
        tcase_add_loop_test(tcase, states_and_addresses, 0, (int) ELEMENTSOF(interfaces));
        tcase_add_test(tcase, what_is_seen_is_not_hidden);
        tcase_add_loop_test(tcase, bound_namespaces, 0, 2);
        tcase_add_test(tcase, both_names_of_a_namespace);
        tcase_add_test(tcase, a_bound_file_that_is_another);
        tcase_add_loop_test(tcase, only_for_those_that_may_have_some, 0, (int) ELEMENTSOF(visited));
        tcase_add_loop_test(tcase, what_the_kernel_does_not_tell, 0, (int) ELEMENTSOF(troubles));
        tcase_add_test(tcase, messages_that_are_cut);
        tcase_add_test(tcase, addresses_of_strangers);
        tcase_add_test(tcase, no_time_is_left);
        tcase_add_checked_fixture(many, setup, teardown);
        tcase_set_timeout(many, 60);
        tcase_add_test(many, more_than_anybody_has);
        suite_add_tcase(suite, tcase);
        suite_add_tcase(suite, many);
        return unit_run(suite);
}
