# SPDX-License-Identifier: GPL-2.0-or-later
#
# The client against a stand-in for the daemon, on a bus of its own; and against the daemon, in the sandbox of the
# integration tests.

check_PROGRAMS += tests/client/fake-daemon tests/client/fake-world tests/client/json-get

tests_client_fake_daemon_SOURCES = \
	tests/client/fake-claims.c \
	tests/client/fake-daemon.c tests/client/fake-daemon.h \
	tests/client/fake-reset.c
tests_client_fake_daemon_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
tests_client_fake_daemon_LDADD = $(SYSTEMD_LIBS)

tests_client_fake_world_SOURCES = tests/client/fake-world.c
tests_client_fake_world_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(JSON_CFLAGS)
tests_client_fake_world_LDADD = $(SYSTEMD_LIBS) $(JSON_LIBS)

tests_client_json_get_SOURCES = tests/client/json-get.c
tests_client_json_get_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_client_json_get_LDADD = $(JSON_LIBS)

dist_check_SCRIPTS += tests/client/test-client.sh tests/client/test-doctor.sh tests/client/test-history.sh
EXTRA_DIST += tests/client/claims.sh tests/client/run.sh tests/client/session.sh tests/client/tap.sh
EXTRA_DIST += tests/client/world.sh tests/client/doctor.json tests/client/history.json
integration_tests += tests/client/test-client.sh tests/client/test-doctor.sh tests/client/test-history.sh

dist_check_SCRIPTS += tests/client/test-qualify.sh
EXTRA_DIST += tests/client/qualify.json
integration_tests += tests/client/test-qualify.sh

dist_check_SCRIPTS += tests/client/test-report.sh tests/client/make-sysfs.py
EXTRA_DIST += tests/client/report.json
integration_tests += tests/client/test-report.sh

check_PROGRAMS += tests/unit/test-redact
unit_tests += tests/unit/test-redact
tests_unit_test_redact_SOURCES = tests/unit/test-redact.c tests/unit/unit.h
tests_unit_test_redact_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(JSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_redact_LDADD = libclient.a libshared.a $(SYSTEMD_LIBS) $(PCI_LIBS) $(JSON_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/client/test-daemon
integration_tests += tests/client/test-daemon

tests_client_test_daemon_SOURCES = tests/client/test-daemon.c
tests_client_test_daemon_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_client_test_daemon_CFLAGS = $(INTEGRATION_CFLAGS)
tests_client_test_daemon_LDADD = $(INTEGRATION_LIBS)

check_PROGRAMS += tests/client/test-policy
integration_tests += tests/client/test-policy

tests_client_test_policy_SOURCES = tests/client/test-policy.c
tests_client_test_policy_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_client_test_policy_CFLAGS = $(INTEGRATION_CFLAGS)
tests_client_test_policy_LDADD = $(INTEGRATION_LIBS)

check_PROGRAMS += tests/client/test-qualify-daemon
integration_tests += tests/client/test-qualify-daemon

tests_client_test_qualify_daemon_SOURCES = tests/client/test-qualify-daemon.c
tests_client_test_qualify_daemon_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_client_test_qualify_daemon_CFLAGS = $(INTEGRATION_CFLAGS)
tests_client_test_qualify_daemon_LDADD = $(INTEGRATION_LIBS)
