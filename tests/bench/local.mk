# SPDX-License-Identifier: GPL-2.0-or-later
#
# What ./dev bench measures with. No test: tests/bench/run builds these programs when it needs them.

EXTRA_PROGRAMS = tests/bench/bench-client tests/bench/bench-host tests/bench/bench-lanes

tests_bench_bench_client_SOURCES = \
	tests/bench/bench-calls.c tests/bench/bench-calls.h \
	tests/bench/bench-client.c \
	tests/bench/bench-lists.c tests/bench/bench-lists.h \
	tests/bench/bench-resets.c tests/bench/bench-resets.h
tests_bench_bench_client_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
tests_bench_bench_client_LDADD = $(SYSTEMD_LIBS)

tests_bench_bench_host_SOURCES = \
	tests/bench/bench-history.c tests/bench/bench-history.h \
	tests/bench/bench-holders.c tests/bench/bench-holders.h \
	tests/bench/bench-host.c \
	tests/bench/bench-tree.c tests/bench/bench-tree.h
tests_bench_bench_host_CPPFLAGS = $(INTEGRATION_CPPFLAGS)
tests_bench_bench_host_CFLAGS = $(INTEGRATION_CFLAGS)
tests_bench_bench_host_LDADD = libharness.a libshared.a $(INTEGRATION_LIBS)

tests_bench_bench_lanes_SOURCES = tests/bench/bench-lanes.c
tests_bench_bench_lanes_LDADD = libdomain.a libshared.a

EXTRA_DIST += tests/bench/run
