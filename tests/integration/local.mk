# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon and the worker as they were built, on a private bus with the real polkitd. Needs root. Each program runs by
# itself too; PCIRESETD_TEST=function runs one test of it.

integration_programs = \
	tests/integration/test-harness \
	tests/integration/test-contract \
	tests/integration/test-crowd \
	tests/integration/test-access \
	tests/integration/test-input \
	tests/integration/test-authorization \
	tests/integration/test-question \
	tests/integration/test-pending \
	tests/integration/test-reset \
	tests/integration/test-verdict \
	tests/integration/test-ways \
	tests/integration/test-recover \
	tests/integration/test-health \
	tests/integration/test-usage \
	tests/integration/test-topology \
	tests/integration/test-lanes \
	tests/integration/test-jobs \
	tests/integration/test-restart \
	tests/integration/test-survival \
	tests/integration/test-survival-hotplug \
	tests/integration/test-neighbours \
	tests/integration/test-run-full \
	tests/integration/test-next-boot \
	tests/integration/test-hotplug \
	tests/integration/test-abuse \
	tests/integration/test-leases \
	tests/integration/test-acquire \
	tests/integration/test-inhibit \
	tests/integration/test-edges \
	tests/integration/test-policy \
	tests/integration/test-kernel-order \
	tests/integration/test-set-policy \
	tests/integration/test-proven \
	tests/integration/test-clean \
	tests/integration/test-errors \
	tests/integration/test-release \
	tests/integration/test-kept-off \
	tests/integration/test-quarantine \
	tests/integration/test-holders \
	tests/integration/test-groups \
	tests/integration/test-history \
	tests/integration/test-history-transfer \
	tests/integration/test-looks \
	tests/integration/test-in-use \
	tests/integration/test-owners \
	tests/integration/test-tree \
	tests/integration/test-when-idle

# The worker's look, without a daemon.
integration_programs += tests/integration/test-processes
tests_integration_test_processes_SOURCES = tests/integration/test-processes.c
tests_integration_test_processes_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_integration_test_processes_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CHECK_CFLAGS)
tests_integration_test_processes_LDADD = libworker.a libshared.a $(JSON_LIBS) $(CHECK_LIBS)

check_PROGRAMS += $(integration_programs) tests/integration/kernel-model.so
integration_tests += $(integration_programs)

INTEGRATION_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/integration \
	-DTOP_BUILDDIR='"$(abs_top_builddir)"' -DTOP_SRCDIR='"$(abs_top_srcdir)"'
INTEGRATION_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(JSON_CFLAGS) $(CHECK_CFLAGS) $(UMOCKDEV_CFLAGS)
INTEGRATION_LIBS = libharness.a $(SYSTEMD_LIBS) $(JSON_LIBS) $(CHECK_LIBS) $(UMOCKDEV_LIBS)

# Loaded into the daemon and the worker: a shared object that is not installed, without the sanitizers of the programs.
tests_integration_kernel_model_so_SOURCES = \
	tests/integration/kernel-model.c tests/integration/kernel-model.h \
	tests/integration/kernel-model-hooks.c tests/integration/kernel-model-internal.h \
	tests/integration/kernel-model-tree.c
tests_integration_kernel_model_so_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_kernel_model_so_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -fPIC -fvisibility=hidden
tests_integration_kernel_model_so_LDFLAGS = -shared

check_LIBRARIES += libharness.a
libharness_a_SOURCES = \
	tests/integration/kernel-model.h \
	tests/integration/mock-polkit.c tests/integration/mock-polkit.h \
	tests/integration/harness/bus.c tests/integration/harness/bus.h \
	tests/integration/harness/claims.c tests/integration/harness/claims.h \
	tests/integration/harness/fixture.c tests/integration/harness/fixture.h \
	tests/integration/harness/holders.c tests/integration/harness/holders.h \
	tests/integration/harness/introspection.c tests/integration/harness/introspection.h \
	tests/integration/harness/journal.c tests/integration/harness/journal.h \
	tests/integration/harness/kills.c tests/integration/harness/kills.h \
	tests/integration/harness/loop.c tests/integration/harness/loop.h \
	tests/integration/harness/model.c tests/integration/harness/model.h \
	tests/integration/harness/nodes.c tests/integration/harness/nodes.h \
	tests/integration/harness/polkit.c tests/integration/harness/polkit.h \
	tests/integration/harness/reply.c \
	tests/integration/harness/resets.c tests/integration/harness/resets.h \
	tests/integration/harness/sandbox.c tests/integration/harness/sandbox.h \
	tests/integration/harness/sysfs.c tests/integration/harness/sysfs.h \
	tests/integration/harness/uevent.c \
	tests/integration/harness/usage.c tests/integration/harness/usage.h
libharness_a_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
libharness_a_CFLAGS = $(INTEGRATION_CFLAGS)

tests_integration_test_harness_SOURCES = tests/integration/test-harness.c
tests_integration_test_harness_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_harness_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_harness_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_contract_SOURCES = tests/integration/test-contract.c
tests_integration_test_contract_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_contract_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_contract_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_input_SOURCES = tests/integration/test-input.c
tests_integration_test_input_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_input_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_input_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_authorization_SOURCES = tests/integration/test-authorization.c
tests_integration_test_authorization_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_authorization_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_authorization_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_pending_SOURCES = tests/integration/test-pending.c
tests_integration_test_pending_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_pending_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_pending_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_reset_SOURCES = tests/integration/test-reset.c
tests_integration_test_reset_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_reset_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_reset_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_usage_SOURCES = tests/integration/test-usage.c
tests_integration_test_usage_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_usage_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_usage_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_topology_SOURCES = tests/integration/test-topology.c
tests_integration_test_topology_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_topology_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_topology_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_lanes_SOURCES = tests/integration/test-lanes.c
tests_integration_test_lanes_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_lanes_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_lanes_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_restart_SOURCES = tests/integration/test-restart.c
tests_integration_test_restart_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_restart_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_restart_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_survival_SOURCES = tests/integration/test-survival.c
tests_integration_test_survival_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_survival_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_survival_LDADD = $(INTEGRATION_LIBS)
tests_integration_test_run_full_SOURCES = tests/integration/test-run-full.c
tests_integration_test_run_full_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_run_full_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_run_full_LDADD = $(INTEGRATION_LIBS)
tests_integration_test_neighbours_SOURCES = tests/integration/test-neighbours.c
tests_integration_test_neighbours_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_neighbours_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_neighbours_LDADD = $(INTEGRATION_LIBS)
tests_integration_test_survival_hotplug_SOURCES = tests/integration/test-survival-hotplug.c
tests_integration_test_survival_hotplug_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_survival_hotplug_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_survival_hotplug_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_next_boot_SOURCES = tests/integration/test-next-boot.c
tests_integration_test_next_boot_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_next_boot_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_next_boot_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_hotplug_SOURCES = tests/integration/test-hotplug.c
tests_integration_test_hotplug_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_hotplug_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_hotplug_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_abuse_SOURCES = tests/integration/test-abuse.c
tests_integration_test_abuse_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_abuse_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_abuse_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_access_SOURCES = tests/integration/test-access.c
tests_integration_test_access_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_access_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_access_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_verdict_SOURCES = tests/integration/test-verdict.c
tests_integration_test_verdict_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_verdict_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_verdict_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_jobs_SOURCES = tests/integration/test-jobs.c
tests_integration_test_jobs_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_jobs_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_jobs_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_question_SOURCES = tests/integration/test-question.c
tests_integration_test_question_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_question_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_question_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_leases_SOURCES = tests/integration/test-leases.c
tests_integration_test_leases_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_leases_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_leases_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_acquire_SOURCES = tests/integration/test-acquire.c
tests_integration_test_acquire_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_acquire_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_acquire_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_crowd_SOURCES = tests/integration/test-crowd.c
tests_integration_test_crowd_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_crowd_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_crowd_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_inhibit_SOURCES = tests/integration/test-inhibit.c
tests_integration_test_inhibit_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_inhibit_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_inhibit_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_proven_SOURCES = tests/integration/test-proven.c
tests_integration_test_proven_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_proven_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_proven_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_clean_SOURCES = tests/integration/test-clean.c
tests_integration_test_clean_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_clean_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_clean_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_errors_SOURCES = tests/integration/test-errors.c
tests_integration_test_errors_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_errors_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_errors_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_release_SOURCES = tests/integration/test-release.c
tests_integration_test_release_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_release_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_release_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_kept_off_SOURCES = tests/integration/test-kept-off.c
tests_integration_test_kept_off_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_kept_off_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_kept_off_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_quarantine_SOURCES = tests/integration/test-quarantine.c
tests_integration_test_quarantine_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_quarantine_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_quarantine_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_policy_SOURCES = tests/integration/test-policy.c
tests_integration_test_policy_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_policy_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_policy_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_set_policy_SOURCES = tests/integration/test-set-policy.c
tests_integration_test_set_policy_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_set_policy_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_set_policy_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_kernel_order_SOURCES = tests/integration/test-kernel-order.c
tests_integration_test_kernel_order_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_kernel_order_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_kernel_order_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_edges_SOURCES = tests/integration/test-edges.c
tests_integration_test_edges_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_edges_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_edges_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_health_SOURCES = tests/integration/test-health.c
tests_integration_test_health_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_health_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_health_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_recover_SOURCES = tests/integration/test-recover.c
tests_integration_test_recover_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_recover_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_recover_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_ways_SOURCES = tests/integration/test-ways.c
tests_integration_test_ways_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_ways_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_ways_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_holders_SOURCES = tests/integration/test-holders.c
tests_integration_test_holders_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_holders_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_holders_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_groups_SOURCES = tests/integration/test-groups.c
tests_integration_test_groups_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_groups_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_groups_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_looks_SOURCES = tests/integration/test-looks.c
tests_integration_test_looks_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_looks_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_looks_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_in_use_SOURCES = tests/integration/test-in-use.c
tests_integration_test_in_use_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_in_use_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_in_use_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_tree_SOURCES = tests/integration/test-tree.c
tests_integration_test_tree_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_tree_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_tree_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_when_idle_SOURCES = tests/integration/test-when-idle.c
tests_integration_test_when_idle_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_when_idle_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_when_idle_LDADD = $(INTEGRATION_LIBS)

tests_integration_test_owners_SOURCES = tests/integration/test-owners.c
tests_integration_test_owners_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_owners_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_owners_LDADD = $(INTEGRATION_LIBS)

# Somebody else has the file of the history open.
tests_integration_test_history_SOURCES = tests/integration/test-history.c
tests_integration_test_history_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_history_CFLAGS = $(INTEGRATION_CFLAGS) $(SQLITE_CFLAGS)
tests_integration_test_history_LDADD = $(INTEGRATION_LIBS) $(SQLITE_LIBS)

tests_integration_test_history_transfer_SOURCES = tests/integration/test-history-transfer.c
tests_integration_test_history_transfer_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_integration_test_history_transfer_CFLAGS = $(INTEGRATION_CFLAGS)
tests_integration_test_history_transfer_LDADD = $(INTEGRATION_LIBS)
