/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "random-track.h"

#include <string.h>

void track_grant(Track *track, const Tree *tree, const Job *job)
{
        track->granted = job->actions;
        track->last_claim = tree->last_claim;
        track->delay_is_over = false;
        memcpy(track->method, job->method, sizeof(track->method));
        track->n_inodes = job->n_members;
        for (size_t i = 0; i < job->n_members; i++)
                track->inodes[i] = job->members[i].inode;
}

static bool was_granted_for(const Track *track, uint64_t inode)
{
        for (size_t i = 0; i < track->n_inodes; i++)
                if (track->inodes[i] == inode)
                        return true;
        return false;
}

/* The members that the worker is told of are the set, and are what was granted. */
static const char *judge_members(const Track *track, const Tree *tree, const WorkerRequest *request,
                                 const bool set[static NODES_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < tree->n; i++) {
                n += set[i];
                if (set[i] && !was_granted_for(track, tree->nodes[i].inode))
                        return "a member of the set was not granted";
        }
        if (n != request->n_members || n != track->n_inodes || strcmp(track->method, request->method) != 0)
                return "what runs is not what was granted";
        for (size_t i = 0; i < n; i++) {
                const Node *node = tree_node(tree, &request->members[i].address);

                if (!set[node - tree->nodes])
                        return "the worker is told of a device that is not in the set";
                if (node->inode != request->members[i].inode)
                        return "the worker is told of another device";
                if (strcmp(node->driver, request->members[i].driver) != 0)
                        return "the worker is told of another driver";
        }
        return NULL;
}

const char *track_judge(const Track *track, const Tree *tree, const WorkerRequest *request,
                        const bool set[static NODES_MAX])
{
        const char *why = judge_members(track, tree, request, set);
        int bridge = tree->nodes[track->target].parent;

        if (why)
                return why;
        if (request->allow_held != !!(track->granted & ACTION_RESET_IN_USE))
                return "the worker may do other than what was granted";
        if ((request->driver == WORKER_DRIVER_REBIND) !=
            oracle_rebinds(tree, request->method, track->in_use, set))
                return "drivers are handled otherwise than they must be";
        if (request->has_bridge != (bridge >= 0) ||
            (bridge >= 0 && request->bridge.inode != tree->nodes[bridge].inode))
                return "the worker is told of another bridge";
        if (!track->prepared)
                return "nobody was told";
        if (oracle_delays(tree, set, track->last_claim) && !track->delay_is_over)
                return "who asked to be told had no time";
        return NULL;
}
