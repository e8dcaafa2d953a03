-- What a sweep found. Called by desk.sla.sweep, once a sweep; read by desk_figures for /metrics.
insert into sla_sweeps (seconds, processed, skipped_null_sla, skipped_paused, crossings, seconds_late_p50, seconds_late_p99)
values (%(seconds)s, %(processed)s, %(skipped_null_sla)s, %(skipped_paused)s, %(crossings)s, %(seconds_late_p50)s,
        %(seconds_late_p99)s);
