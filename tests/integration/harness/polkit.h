/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The real polkitd with the test's own rules, and an authentication agent that follows a script.
 */

#include <stdbool.h>

#include "bus.h"

/* alice may do everything of ours, nobody else anything (but polkitd never refuses root). */
extern const char *const polkit_rules_default;

/* Starts polkitd with these rules (a JavaScript file) and the tree's actions, and waits until it answers. */
void polkit_start(const char *rules);
void polkit_stop(void);

typedef enum AgentAnswer {
        AGENT_APPROVE, /* as if the right password had been typed */
        AGENT_DISMISS, /* as if the dialog had been closed */
        AGENT_WAIT, /* the dialog stays open until agent_answer() */
} AgentAnswer;

/* Registers `client` as the agent for its own calls. One at a time. */
void agent_register(Client *client, AgentAnswer answer);
void agent_answer(AgentAnswer answer); /* the open dialog */
size_t agent_dialogs(void);
/* What the last dialog was told. */
const char *agent_action(void);
const char *agent_message(void);
