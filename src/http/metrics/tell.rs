//! The text: every figure of the server with its name, its kind and what it means.
//!
//! No label holds a name, an id or anything else that came from outside.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{CLASSES, Metrics, method_name};
use crate::account::Accounts;
use crate::backup;
use crate::figures::{BUCKETS, Shape};
use crate::http::log::Route;
use crate::store::{Condition, Room};

/// Where the figures come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub metrics: Arc<Metrics>,
    pub accounts: Arc<Accounts>,
    /// The data directory.
    pub data: PathBuf,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sources")
    }
}

/// Micros to seconds, which are Prometheus' unit.
const MICRO: f64 = 1e-6;

/// All figures as text.
pub(super) fn text(sources: &Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sources.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut teller = Teller(encoder);
        self.requests(&mut teller)?;
        self.connections(&mut teller)?;
        self.store(&mut teller)?;
        self.disk(&mut teller)?;
        self.backups(&mut teller)?;
        self.accounts(&mut teller)?;
        self.process(&mut teller)
    }
}

impl Sources {
    fn requests(&self, teller: &mut Teller) -> fmt::Result {
        let metrics = &self.metrics;
        let mut family = teller.0.encode_descriptor(
            "sealdav_http_requests",
            "Requests, by method, class of the route and class of the status",
            None,
            MetricType::Counter,
        )?;
        for (place, routes) in metrics.requests.iter().enumerate() {
            let Some(method) = method_name(place) else {
                continue;
            };
            for (route, classes) in Route::ALL.iter().zip(routes) {
                for (class, count) in (1..=CLASSES).zip(classes) {
                    // A series that was never counted is none: there are thousands.
                    if count.get() > 0 {
                        let labels = [
                            ("method", method.to_owned()),
                            ("route", route.name().to_owned()),
                            ("status", format!("{class}xx")),
                        ];
                        let mut one = family.encode_family(&labels)?;
                        one.encode_counter::<NoLabelSet, u64, u64>(&count.get(), None)?;
                    }
                }
            }
        }
        let mut family = teller.0.encode_descriptor(
            "sealdav_http_request_duration_seconds",
            "Time from the head of a request to the head of its answer, by method",
            None,
            MetricType::Histogram,
        )?;
        for (place, durations) in metrics.durations.iter().enumerate() {
            let shape = durations.read();
            if let Some(method) = method_name(place).filter(|_| shape.counts != [0; BUCKETS]) {
                let labels = [("method", method)];
                encode_shape(&mut family.encode_family(&labels)?, &shape, MICRO)?;
            }
        }
        Ok(())
    }

    #[rustfmt::skip]
    fn connections(&self, teller: &mut Teller) -> fmt::Result {
        let metrics = &self.metrics;
        teller.counter("sealdav_http_received_bytes", "Bytes of the bodies of requests", metrics.bytes_in.get())?;
        teller.counter("sealdav_http_sent_bytes", "Bytes of the bodies of answers", metrics.bytes_out.get())?;
        teller.gauge("sealdav_connections", "Open connections", metrics.connections.get() as f64)?;
        teller.counter("sealdav_connections_accepted", "Connections that were accepted", metrics.accepted.get())?;
        teller.counter("sealdav_connections_refused", "Connections refused since their address had too many", metrics.refused.get())
    }

    #[rustfmt::skip]
    fn store(&self, teller: &mut Teller) -> fmt::Result {
        let store = self.accounts.vault().store();
        let (statistics, figures) = (store.statistics(), store.figures());
        teller.counter("sealdav_store_commits", "Commits made durable", statistics.commits)?;
        teller.counter("sealdav_store_rows", "Rows put and deleted by them", statistics.rows)?;
        teller.counter("sealdav_store_syncs", "Syncs of the database file for them", statistics.syncs)?;
        teller.histogram("sealdav_store_commit_bytes", "Bytes of one commit", &figures.bytes.read(), 1.0)?;
        teller.histogram("sealdav_store_group_commits", "Commits that shared a sync", &figures.group.read(), 1.0)?;
        teller.histogram("sealdav_store_sync_duration_seconds", "Time to flush and sync one group of commits", &figures.sync.read(), MICRO)?;
        let condition = store.condition();
        teller.states("sealdav_store_condition", "What the store does: 1 for the one that holds", &[
            ("works", condition == Condition::Works),
            ("full", condition == Condition::Full),
            ("stuck", condition == Condition::Stuck),
            ("closed", condition == Condition::Closed),
        ])
    }

    #[rustfmt::skip]
    fn disk(&self, teller: &mut Teller) -> fmt::Result {
        let store = self.accounts.vault().store();
        let disk = store.disk();
        if let Ok(bytes) = store.size_on_disk() {
            teller.gauge("sealdav_database_bytes", "Bytes of the database's files", bytes as f64)?;
        }
        teller.gauge("sealdav_disk_free_bytes", "Bytes free on the disk of the data", disk.space.free as f64)?;
        teller.gauge("sealdav_disk_bytes", "Bytes of that disk", disk.space.total as f64)?;
        teller.gauge("sealdav_disk_warn_bytes", "Free bytes below which there is a warning", disk.marks.warn as f64)?;
        teller.gauge("sealdav_disk_stop_bytes", "Free bytes below which writes are refused", disk.marks.stop as f64)?;
        let read_only = f64::from(disk.room == Room::Stopped);
        teller.gauge("sealdav_read_only", "1 while writes are refused for lack of room", read_only)
    }

    /// Without a backup there is no age; an alarm asks whether it is absent too.
    #[rustfmt::skip]
    fn backups(&self, teller: &mut Teller) -> fmt::Result {
        if let Some((_, live)) = self.accounts.vault().store().waste() {
            teller.gauge("sealdav_database_live_bytes", "Bytes of all rows when they were last counted", live as f64)?;
        }
        let now = self.accounts.vault().ambient().now();
        match backup::last_backup(&self.data) {
            Some(last) => {
                let seconds = (now.0 - last.0).max(0) as f64 / 1000.0;
                teller.gauge("sealdav_backup_age_seconds", "Time since the last good backup ended", seconds)
            }
            None => Ok(()),
        }
    }

    #[rustfmt::skip]
    fn accounts(&self, teller: &mut Teller) -> fmt::Result {
        let (accounts, figures) = (&self.accounts, self.accounts.figures());
        let vault = accounts.vault();
        teller.gauge("sealdav_accounts", "Accounts", vault.accounts().len() as f64)?;
        teller.gauge("sealdav_accounts_unlocked", "Accounts whose keys are in memory", vault.unlocked().len() as f64)?;
        let indexes = vault.index_figures();
        teller.gauge("sealdav_indexes", "Collections whose index is in memory", indexes.collections as f64)?;
        teller.gauge("sealdav_index_entries", "Objects and tombstones in these indexes", indexes.entries as f64)?;
        teller.gauge("sealdav_index_bytes", "Bytes that these indexes take, estimated", indexes.bytes as f64)?;
        let mut family = teller.0.encode_descriptor("sealdav_sign_ins",
            "Sign-ins with a secret that was not remembered, by their result", None, MetricType::Counter)?;
        for (result, count) in [
            ("ok", &figures.signed_in), ("failed", &figures.wrong),
            ("throttled", &figures.throttled), ("unavailable", &figures.unavailable),
        ] {
            let labels = [("result", result)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count.get(), None)?;
        }
        teller.counter("sealdav_argon2_runs", "Argon2 runs for sign-ins", figures.argon2_runs.get())?;
        teller.gauge("sealdav_argon2_waiting", "Sign-ins that wait for their Argon2 run", figures.argon2_waiting.get() as f64)?;
        teller.counter("sealdav_audit_flush_failures", "Times that the audit trail could not be written", figures.flush_failures.get())?;
        teller.gauge("sealdav_audit_findings", "Findings about the audit trail since the start", vault.audit_findings().len() as f64)
    }

    #[rustfmt::skip]
    fn process(&self, teller: &mut Teller) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            teller.gauge("process_resident_memory_bytes", "Memory of the process that is not swapped out", bytes as f64)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // The reading itself has one open.
            teller.gauge("process_open_fds", "Open files and sockets", open.count().saturating_sub(1) as f64)?;
        }
        teller.gauge("sealdav_uptime_seconds", "Time since the start", self.metrics.started.elapsed().as_secs() as f64)?;
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("time_zones", crate::ical::zone::tzdb_version())];
        teller.0
            .encode_descriptor("sealdav_build", "The program", None, MetricType::Info)?
            .encode_info(&labels)
    }
}

/// Bytes of memory, from /proc/self/statm (proc_pid_statm(5)): the second number, in pages.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

struct Teller<'a>(DescriptorEncoder<'a>);

impl Teller<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn histogram(&mut self, name: &str, help: &str, shape: &Shape, unit: f64) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        encode_shape(&mut encoder, shape, unit)
    }

    fn states(&mut self, name: &str, help: &str, states: &[(&str, bool)]) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (state, holds) in states {
            let labels = [("state", *state)];
            let value = f64::from(*holds);
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn encode_shape(
    encoder: &mut prometheus_client::encoding::MetricEncoder<'_>,
    shape: &Shape,
    unit: f64,
) -> fmt::Result {
    let bounds = shape.bounds.iter().map(|bound| *bound as f64 * unit);
    let bounds = bounds.chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(shape.counts).collect();
    let count = shape.counts.iter().sum();
    let sum = shape.sum as f64 * unit;
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
