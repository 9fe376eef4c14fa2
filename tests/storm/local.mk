# SPDX-License-Identifier: GPL-2.0-or-later

storm_unit_tests = tests/storm/test-storm
check_PROGRAMS += $(storm_unit_tests)
unit_tests += $(storm_unit_tests)

tests_storm_test_storm_SOURCES = tests/storm/test-storm.c tests/storm/storm.h \
	tests/storm/audit.c tests/storm/clean.c tests/storm/daemon.c tests/storm/errors.c tests/storm/releases.c tests/storm/restart.c tests/storm/results.c tests/storm/tasks.c tests/storm/users.c tests/storm/workers.c \
	tests/unit/random-oracle.c tests/unit/random-oracle.h tests/unit/random-tree.c tests/unit/random-tree.h
tests_storm_test_storm_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/storm
tests_storm_test_storm_CFLAGS = $(UNIT_CFLAGS)
tests_storm_test_storm_LDADD = libdomain.a $(UNIT_LIBS)
