/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A command that runs under a lease (`run`) or an inhibitor (`inhibit`). Both are file descriptors; what
 * they stand for ends when the last copy is closed. This process keeps one as long as the command runs.
 *
 * The command inherits its lease, so that it can present it, and so that the devices are not given to
 * somebody else while something that it has started and left behind still works on them. An inhibitor is
 * nobody's business but ours and ends with the command itself.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/agent.h"
#include "pcireset/command.h"
#include "pcireset/error-text.h"
#include "pcireset/lease-fd.h"
#include "pcireset/verbs.h"
#include "shared/utf8.h"

#define WHO_MAX       128U /* with NUL; the daemon takes no longer one */
#define FIRST_FREE_FD 3 /* the standard streams may be closed, but are not given to something else */

/* Everything that both calls have in common: the devices, who, why. */
static int append_claim(const Client *client, sd_bus_message *call, char **addresses)
{
        char who[WHO_MAX];
        int r;

        r = sd_bus_message_open_container(call, 'a', "s");
        for (; r >= 0 && *addresses; addresses++) {
                char text[PCI_ADDRESS_STRING_MAX];
                PciAddress address;

                r = pci_address_parse_typed(*addresses, &address);
                if (r >= 0)
                        r = sd_bus_message_append(call, "s", pci_address_format(&address, text));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r < 0)
                return r;

        /* Not the whole command line: others will read it. */
        if (!client->who)
                (void) utf8_quote(*client->command[0] ? client->command[0] : "pcireset", who, sizeof(who));
        return sd_bus_message_append(call, "ss", client->who ? client->who : who,
                                     client->why ? client->why : "");
}

static int new_claim_call(Client *client, const char *member, char **addresses, sd_bus_message **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, member, true, &call);
        if (r < 0)
                return r;
        r = append_claim(client, call, addresses);
        if (r < 0)
                return r;
        *ret = steal_pointer(call);
        return 0;
}

/* Sends the call and takes the descriptor at the start of the answer. As client_call(). */
static int call_for_fd(Client *client, sd_bus_message *call, sd_bus_message **ret_reply, int *ret_fd)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        pid_t agent = client->ask_password ? agent_start() : 0;
        int fd, r;

        r = client_call(client, call, &reply);
        agent_stop(agent);
        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return r;
        fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        *ret_reply = steal_pointer(reply);
        return EXIT_OK;
}

static int export_lease(const char *id, int fd)
{
        char number[16];

        (void) snprintf(number, sizeof(number), "%d", fd);
        if (setenv(LEASE_ID_VARIABLE, id, 1) < 0 || setenv(LEASE_FD_VARIABLE, number, 1) < 0)
                return -errno;
        return 0;
}

/* `fd`: for the command, or negative. */
static int run_command(Client *client, int fd)
{
        int status, r;

        /* The daemon has nothing more to tell, and whoever waits for long should not look as if it listened.
         */
        sd_bus_close(client->bus);

        r = command_run(client->command, fd, &status);
        if (r > 0)
                return report_failure(
                        client, r == ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_COMMAND_NOT_EXECUTED,
                        CLIENT_ERROR("CommandNotExecuted"), NULL, "%s: %s", client->command[0], strerror(r));
        return r < 0 ? r : status;
}

int verb_run(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *id;
        int r;

        r = new_claim_call(client, "Acquire", arguments, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 0);
        if (r < 0)
                return r;
        r = call_for_fd(client, call, &reply, &fd);
        if (r != EXIT_OK)
                return r < 0 ? r : (int) EXIT_NOT_RUN;
        r = sd_bus_message_read(reply, "s", &id);
        if (r < 0)
                return r;
        r = export_lease(id, fd);
        if (r < 0)
                return r;

        /* Its copy of the descriptor would keep the lease as well. */
        (void) sd_bus_message_unref(steal_pointer(reply));
        return run_command(client, fd);
}

int verb_inhibit(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = new_claim_call(client, "Inhibit", arguments, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "sa{sv}", client->mode ? client->mode : "block", 0);
        if (r < 0)
                return r;
        r = call_for_fd(client, call, &reply, &fd);
        if (r != EXIT_OK)
                return r < 0 ? r : (int) EXIT_NOT_RUN;
        return run_command(client, -EBADF);
}
