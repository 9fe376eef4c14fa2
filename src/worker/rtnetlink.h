/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The interfaces of one network namespace, as rtnetlink tells of them: which device each belongs to, whether
 * it is up, what it is built on, and its address.
 */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/cleanup.h"

#define NET_ADDRESS_MAX (INET6_ADDRSTRLEN + sizeof("/128"))

typedef struct NetLink {
        uint32_t index;
        uint32_t master; /* the bond, bridge or switch that it is a port of; 0: none */
        uint32_t lower; /* what it is built on in the same namespace, as a VLAN is; 0: nothing */
        bool is_up;
        char name[IF_NAMESIZE];
        char bus[16]; /* of the device that it belongs to; empty: none, or the kernel does not tell */
        char device[64]; /* that device's name on its bus */
        char address[NET_ADDRESS_MAX]; /* `192.0.2.1/24`, the first one that has been given to it; empty:
                                        * none
                                        */
        bool is_seen; /* net_links_find_address() was here */
} NetLink;

/* Begin with {}. */
typedef struct NetLinks {
        NetLink *all;
        size_t n, size;
} NetLinks;

/* The calling thread enters the network namespace, for good, and opens a socket to its rtnetlink.
 * `namespace` is a descriptor of /proc/PID/ns/net or of what is bound from there. The socket, or a negative
 * errno. */
int net_links_socket(int namespace);

/* Is it a link of interest? */
typedef bool (*NetLinkFilter)(void *userdata, const NetLink *link);

/* Asks for all links, and for the addresses if one of the links is of interest. Of addresses anybody can
 * make as many as he likes, in a namespace of his own, and the others shall not have to wait for them.
 * Waits for the kernel's rtnl lock, without bound; and else until `end_usec` on the clock of now_usec().
 *
 * Returns 0; -EAGAIN if they change all the time; -E2BIG if they are too many; -ETIMEDOUT; or what the
 * kernel answered. Links from before Linux 5.14 name no device (IFLA_PARENT_DEV_NAME). */
int net_links_read(int socket, uint64_t end_usec, NetLinkFilter filter, void *userdata, NetLinks *ret);
void net_links_done(NetLinks *links);

/* Finds the link itself, or one above it that is up, with an address. 1, 0 if there is none, or -ENOMEM. */
int net_links_find_address(NetLinks *links, const NetLink *link, const NetLink **ret);

/* The text of an address; false for one that comes by itself with the interface, IPv6's link-local one.
 * `family` is AF_INET or AF_INET6, `address` in network order. */
bool net_format_address(int family, const void *address, unsigned prefix, char ret[static NET_ADDRESS_MAX]);
