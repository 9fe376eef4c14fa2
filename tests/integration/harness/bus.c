/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Clients and calls. A client's socket is connected by a process of the client's uid, which then hands it
 * over and stays: the bus, and through it polkit, see the uid and the pid of that process, while the test
 * speaks over the socket in its own loop and can have any number of calls under way.
 */

#include "bus.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define BUS_SOCKET "/run/dbus/system_bus_socket"

struct Call {
        sd_bus_slot *slot;
        sd_bus_message *reply;
};

/* ---- clients ---- */

static void send_fd(int channel, int fd)
{
        char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
        struct iovec iov = {&byte, 1};
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        if (sendmsg(channel, &message, 0) < 0)
                _exit(EXIT_FAILURE);
}

static int receive_fd(int channel)
{
        char control[CMSG_SPACE(sizeof(int))] = {}, byte;
        struct iovec iov = {&byte, 1};
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        int fd;

        ck_assert_int_eq(recvmsg(channel, &message, MSG_CMSG_CLOEXEC), 1); /* else there is no bus */
        ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&message));
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        return fd;
}

/* A bus that has just been started binds its socket a moment before it listens. */
static int connect_to_bus(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = BUS_SOCKET};
        const struct timespec moment = {.tv_nsec = 1000000};
        uint64_t deadline = loop_deadline();
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        while (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                if ((errno != ECONNREFUSED && errno != ENOENT) || now_usec() > deadline)
                        return -errno;
                (void) nanosleep(&moment, NULL);
        }
        return fd;
}

static void connect_and_stay(int channel)
{
        int fd = connect_to_bus();
        char byte;

        if (fd < 0)
                _exit(EXIT_FAILURE);
        send_fd(channel, fd);
        (void) close(fd);
        /* Until the test closes its end. */
        if (read(channel, &byte, 1) < 0)
                _exit(EXIT_FAILURE);
}

Client *client_new(uid_t uid)
{
        Client *client = calloc(1, sizeof(*client));
        int pair[2], fd;

        ck_assert_ptr_nonnull(client);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        client->uid = uid;
        client->process = process_fork("client", uid, connect_and_stay, pair[1]);
        (void) close(pair[1]);

        client->channel = pair[0];

        ck_assert_int_ge(sd_bus_new(&client->bus), 0);
        fd = receive_fd(client->channel);
        ck_assert_int_ge(sd_bus_set_fd(client->bus, fd, fd), 0);
        ck_assert_int_ge(sd_bus_set_bus_client(client->bus, true), 0);
        ck_assert_int_ge(sd_bus_negotiate_fds(client->bus, true), 0);
        ck_assert_int_ge(sd_bus_start(client->bus), 0);
        ck_assert_int_ge(sd_bus_attach_event(client->bus, loop_event(), 0), 0);
        wait_until(sd_bus_is_ready(client->bus) > 0);
        return client;
}

Client *client_free(Client *client)
{
        if (!client)
                return NULL;
        sd_bus_close_unref(client->bus);
        (void) close(client->channel);
        process_free(client->process);
        free(client);
        return NULL;
}

const char *client_name(const Client *client)
{
        const char *name;

        ck_assert_int_ge(sd_bus_get_unique_name(client->bus, &name), 0);
        return name;
}

/* ---- calls ---- */

static int on_reply(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) error;
        ((Call *) data)->reply = sd_bus_message_ref(message);
        return 0;
}

Call *call_send(Client *client, sd_bus_message *message)
{
        Call *call = calloc(1, sizeof(*call));
        int r;

        ck_assert_ptr_nonnull(call);
        r = sd_bus_call_async(client->bus, &call->slot, message, on_reply, call, UINT64_MAX);
        ck_assert_msg(r >= 0, "Cannot send a call: %s", strerror(-r));
        sd_bus_message_unref(message);
        return call;
}

static sd_bus_message *new_message(Client *client, const char *service, const char *path,
                                   const char *interface, const char *member, const char *types,
                                   va_list arguments)
{
        sd_bus_message *message;

        ck_assert_int_ge(
                sd_bus_message_new_method_call(client->bus, &message, service, path, interface, member), 0);
        if (types)
                ck_assert_int_ge(sd_bus_message_appendv(message, types, arguments), 0);
        return message;
}

sd_bus_message *call_message(Client *client, const char *path, const char *interface, const char *member,
                             const char *types, ...)
{
        sd_bus_message *message;
        va_list arguments;

        va_start(arguments, types);
        message = new_message(client, SERVICE, path, interface, member, types, arguments);
        va_end(arguments);
        return message;
}

Call *call_start(Client *client, const char *path, const char *interface, const char *member,
                 const char *types, ...)
{
        Call *started;
        va_list arguments;

        va_start(arguments, types);
        started = call_send(client, new_message(client, SERVICE, path, interface, member, types, arguments));
        va_end(arguments);
        return started;
}

bool call_done(const Call *call)
{
        return call->reply;
}

sd_bus_message *call_take(Call *call)
{
        sd_bus_message *reply = sd_bus_message_ref(call->reply);

        call_abandon(call);
        return reply;
}

void call_abandon(Call *call)
{
        sd_bus_slot_unref(call->slot);
        sd_bus_message_unref(call->reply);
        free(call);
}

Reply *call(Client *client, const char *path, const char *interface, const char *member, const char *types,
            ...)
{
        Call *started;
        va_list arguments;

        va_start(arguments, types);
        started = call_send(client, new_message(client, SERVICE, path, interface, member, types, arguments));
        va_end(arguments);
        return call_finish(started);
}

Reply *manager_call(Client *client, const char *member, const char *types, ...)
{
        Call *started;
        va_list arguments;

        va_start(arguments, types);
        started = call_send(client, new_message(client, SERVICE, MANAGER_PATH, MANAGER_INTERFACE, member,
                                                types, arguments));
        va_end(arguments);
        return call_finish(started);
}

Reply *call_service(Client *client, const char *service, const char *path, const char *interface,
                    const char *member, const char *types, ...)
{
        Call *started;
        Reply *reply;
        va_list arguments;

        va_start(arguments, types);
        started = call_send(client, new_message(client, service, path, interface, member, types, arguments));
        va_end(arguments);
        reply = call_finish(started);
        expect_success(reply);
        return reply;
}

static void append_option(sd_bus_message *message, const char *key, const char *type, va_list *arguments)
{
        ck_assert_int_ge(sd_bus_message_open_container(message, 'e', "sv"), 0);
        ck_assert_int_ge(sd_bus_message_append(message, "s", key), 0);
        ck_assert_int_ge(sd_bus_message_open_container(message, 'v', type), 0);
        if (*type == 't')
                ck_assert_int_ge(sd_bus_message_append(message, type, va_arg(*arguments, uint64_t)), 0);
        else if (*type == 's')
                ck_assert_int_ge(sd_bus_message_append(message, type, va_arg(*arguments, const char *)), 0);
        else
                ck_assert_int_ge(sd_bus_message_append(message, type, va_arg(*arguments, int)), 0);
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
}

static Call *reset_startv(Client *client, const char *address, const char *method, va_list arguments)
{
        sd_bus_message *message = call_message(client, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ss",
                                               address, method);

        ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "{sv}"), 0);
        for (const char *key; (key = va_arg(arguments, const char *));) {
                const char *type = va_arg(arguments, const char *);
                va_list rest;

                /* A va_list as an argument may be an array: only a copy has an address that is its own. */
                va_copy(rest, arguments);
                append_option(message, key, type, &rest);
                va_end(rest);
                if (*type == 't')
                        (void) va_arg(arguments, uint64_t);
                else if (*type == 's')
                        (void) va_arg(arguments, const char *);
                else
                        (void) va_arg(arguments, int);
        }
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        return call_send(client, message);
}

Call *reset_start(Client *client, const char *address, const char *method, ...)
{
        Call *started;
        va_list arguments;

        va_start(arguments, method);
        started = reset_startv(client, address, method, arguments);
        va_end(arguments);
        return started;
}

Reply *reset(Client *client, const char *address, const char *method, ...)
{
        Call *started;
        va_list arguments;

        va_start(arguments, method);
        started = reset_startv(client, address, method, arguments);
        va_end(arguments);
        return call_finish(started);
}

void client_barrier(Client *client)
{
        _cleanup_reply_ Reply *reply = call(client, MANAGER_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL);

        expect_success(reply);
}
