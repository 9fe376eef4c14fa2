# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon's edges to the machine.
system_unit_tests = \
	tests/unit/test-descriptors \
	tests/unit/test-edges \
	tests/unit/test-history \
	tests/unit/test-history-bounds \
	tests/unit/test-history-damage \
	tests/unit/test-history-faults \
	tests/unit/test-history-events \
	tests/unit/test-history-line \
	tests/unit/test-history-transfer \
	tests/unit/test-lease-leftovers \
	tests/unit/test-lease-record \
	tests/unit/test-lease-store \
	tests/unit/test-file-replace \
	tests/unit/test-policy-load \
	tests/unit/test-policy-shipped \
	tests/unit/test-policy-write \
	tests/unit/test-quarantine-disk \
	tests/unit/test-quarantine-store \
	tests/unit/test-scans \
	tests/unit/test-survey \
	tests/unit/test-watch \
	tests/unit/test-watch-causes
check_PROGRAMS += $(system_unit_tests) tests/unit/scripted-worker
unit_tests += $(system_unit_tests)

SYSTEM_UNIT_CPPFLAGS = $(UNIT_CPPFLAGS) -DSCRIPTED_WORKER='"$(abs_top_builddir)/tests/unit/scripted-worker"'
SYSTEM_UNIT_CFLAGS = $(AM_CFLAGS) $(SYSTEM_CFLAGS) $(CHECK_CFLAGS)
SYSTEM_UNIT_LIBS = libsystem.a libdomain.a $(UNIT_LIBS) $(SYSTEMD_LIBS) $(UDEV_LIBS)

tests_unit_scripted_worker_SOURCES = tests/unit/scripted-worker.c
tests_unit_scripted_worker_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_scripted_worker_CFLAGS = $(UNIT_CFLAGS)
tests_unit_scripted_worker_LDADD = libshared.a $(JSON_LIBS)
worker_script_sources = tests/unit/worker-script.c tests/unit/worker-script.h

tests_unit_test_descriptors_SOURCES = tests/unit/test-descriptors.c
tests_unit_test_descriptors_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_descriptors_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_descriptors_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=statx -Wl,--wrap=stat -Wl,--wrap=readlink
tests_unit_test_descriptors_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_edges_SOURCES = tests/unit/test-edges.c
tests_unit_test_edges_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_edges_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_edges_LDADD = libworld.a $(SYSTEM_UNIT_LIBS)

lease_bed_sources = tests/unit/lease-bed.c tests/unit/lease-bed.h

tests_unit_test_lease_leftovers_SOURCES = tests/unit/test-lease-leftovers.c $(lease_bed_sources)
tests_unit_test_lease_leftovers_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_lease_leftovers_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_lease_leftovers_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_lease_record_SOURCES = tests/unit/test-lease-record.c
tests_unit_test_lease_record_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_lease_record_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_lease_record_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_lease_store_SOURCES = tests/unit/test-lease-store.c $(lease_bed_sources)
tests_unit_test_lease_store_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_lease_store_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_lease_store_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_file_replace_SOURCES = tests/unit/test-file-replace.c
tests_unit_test_file_replace_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_file_replace_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_file_replace_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_policy_load_SOURCES = tests/unit/test-policy-load.c
tests_unit_test_policy_load_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_policy_load_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_policy_load_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_policy_shipped_SOURCES = tests/unit/test-policy-shipped.c
tests_unit_test_policy_shipped_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS) \
	-DPOLICY_SHIPPED_DIR='"$(abs_top_srcdir)/policy"'
tests_unit_test_policy_shipped_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_policy_shipped_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_policy_write_SOURCES = tests/unit/test-policy-write.c
tests_unit_test_policy_write_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_policy_write_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_policy_write_LDADD = $(SYSTEM_UNIT_LIBS)

quarantine_bed_sources = tests/unit/quarantine-bed.c tests/unit/quarantine-bed.h
quarantine_bed_wrap = -Wl,--wrap=journal_quarantine_unstored

# Functions of the test stand for a disk that is full or loses power.
tests_unit_test_quarantine_disk_SOURCES = tests/unit/test-quarantine-disk.c $(quarantine_bed_sources)
tests_unit_test_quarantine_disk_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_quarantine_disk_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_quarantine_disk_LDFLAGS = $(AM_LDFLAGS) $(quarantine_bed_wrap) \
	-Wl,--wrap=write -Wl,--wrap=fsync -Wl,--wrap=renameat -Wl,--wrap=unlinkat \
	-Wl,--wrap=pthread_cond_timedwait
tests_unit_test_quarantine_disk_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_quarantine_store_SOURCES = tests/unit/test-quarantine-store.c $(quarantine_bed_sources)
tests_unit_test_quarantine_store_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_quarantine_store_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_quarantine_store_LDFLAGS = $(AM_LDFLAGS) $(quarantine_bed_wrap)
tests_unit_test_quarantine_store_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_scans_SOURCES = tests/unit/test-scans.c $(worker_script_sources)
tests_unit_test_scans_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_scans_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_scans_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_survey_SOURCES = tests/unit/test-survey.c $(worker_script_sources)
tests_unit_test_survey_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_survey_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_survey_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sysfs_refresh_use
tests_unit_test_survey_LDADD = libworld.a $(SYSTEM_UNIT_LIBS)

tests_unit_test_watch_SOURCES = tests/unit/test-watch.c tests/unit/watch-bed.c tests/unit/watch-bed.h
tests_unit_test_watch_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_watch_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_watch_LDADD = $(SYSTEM_UNIT_LIBS)

tests_unit_test_watch_causes_SOURCES = \
	tests/unit/test-watch-causes.c tests/unit/watch-bed.c tests/unit/watch-bed.h
tests_unit_test_watch_causes_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_watch_causes_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_watch_causes_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=journal_watch_partial
tests_unit_test_watch_causes_LDADD = $(SYSTEM_UNIT_LIBS)
# Between SQLite and the disk there is one with faults.
check_LIBRARIES += libhistoryworld.a
libhistoryworld_a_SOURCES = \
	tests/unit/fault-vfs.c tests/unit/fault-vfs.h \
	tests/unit/history-world.c tests/unit/history-world.h
libhistoryworld_a_CPPFLAGS = $(UNIT_CPPFLAGS)
libhistoryworld_a_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
HISTORY_UNIT_LIBS = libhistoryworld.a $(SYSTEM_UNIT_LIBS) $(SQLITE_LIBS)

tests_unit_test_history_SOURCES = tests/unit/test-history.c
tests_unit_test_history_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_faults_SOURCES = tests/unit/test-history-faults.c
tests_unit_test_history_faults_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_faults_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_faults_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_transfer_SOURCES = tests/unit/test-history-transfer.c
tests_unit_test_history_transfer_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_transfer_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_transfer_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_bounds_SOURCES = tests/unit/test-history-bounds.c
tests_unit_test_history_bounds_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_bounds_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_bounds_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_damage_SOURCES = tests/unit/test-history-damage.c
tests_unit_test_history_damage_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_damage_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_damage_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_events_SOURCES = tests/unit/test-history-events.c
tests_unit_test_history_events_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_events_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_events_LDADD = $(HISTORY_UNIT_LIBS)

tests_unit_test_history_line_SOURCES = tests/unit/test-history-line.c
tests_unit_test_history_line_CPPFLAGS = $(SYSTEM_UNIT_CPPFLAGS)
tests_unit_test_history_line_CFLAGS = $(SYSTEM_UNIT_CFLAGS)
tests_unit_test_history_line_LDADD = $(HISTORY_UNIT_LIBS)
