/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stands for the rtnetlink of the kernel, in each of some network namespaces: net_links_socket() is wrapped
 * by the linker (--wrap), and gives a socket that the answers wait in. The messages have the kernel's own
 * format. What goes wrong in here fails the test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/netlink.h>

#define ANSWERS_MAX 8U

/* Messages in a row, as one read of the socket returns them. */
typedef struct Buffer {
        union {
                struct nlmsghdr header; /* of the first one */
                char room[8192];
        } data;
        size_t n; /* bytes that are used */
} Buffer;

/* What the namespace with this inode number answers: first to the question for its links, then to the one
 * for its addresses. */
typedef struct Answer {
        ino_t inode;
        Buffer links, addresses;
        unsigned n_torn; /* so many times the dump of links says that it is torn (NLM_F_DUMP_INTR) */
        int error; /* a positive errno, in place of the end of the links; 0: none */
} Answer;

/* An interface. */
typedef struct Link {
        const char *name;
        uint32_t index;
        bool is_up;
        const char *bus, *device; /* that it belongs to; NULL: not told */
        uint32_t master, lower; /* indices; 0: none */
        bool is_lower_elsewhere; /* `lower` is one of another namespace */
} Link;

/* An address of the interface with this index. */
typedef struct Address {
        uint32_t index;
        const char *text, *other_end; /* of IPv4 or IPv6; NULL: there is no other end */
        uint8_t prefix; /* its length in bits */
} Address;

/* The answers, as many as were made by answer_of(); a test may change them. */
extern Answer answers[ANSWERS_MAX];
extern size_t n_answers;
/* Our ends of the sockets, in the order in which they were asked for; no more than ANSWERS_MAX are open. */
extern int peers[ANSWERS_MAX];
extern size_t n_peers;
/* How many times somebody entered a namespace. */
extern unsigned n_visits;
/* A positive errno that each visit fails with; 0: none. */
extern int visit_error;

/* No answers and no visits. Called by the thread of the test, which must never enter a namespace itself: it
 * could not come back. */
void rtnetlink_begin(void);
/* Closes our ends of all sockets. */
void rtnetlink_hang_up(void);

/* A new answer, with nothing in it, of the namespace with this inode number; ANSWERS_MAX at most. It belongs
 * to `answers`. One that has none is not supported (-ENOSYS). */
Answer *answer_of(ino_t inode);
/* One more message (RTM_NEWLINK, RTM_NEWADDR) of the answer. */
void add_link(Answer *answer, const Link *link);
void add_address(Answer *answer, const Address *address);

/* Sends the messages, and the end of a dump behind them: NLMSG_DONE, or NLMSG_ERROR with `error`, a positive
 * errno, if it is not 0. `flags` are added to the first message. */
void send_all(int fd, const Buffer *buffer, uint16_t flags, int error);
/* How many requests came to this one of `peers` since the last call. */
unsigned count_requests(int peer);
