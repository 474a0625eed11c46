//! Making a database, and opening it: checked against its witness, with the threads that go with it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::commit::{Committer, Counters, last_group};
use super::error::{StoreError, advice};
use super::layout::{FORMAT_VERSION, Format, Layout};
use super::line::Line;
use super::rouse::Rouser;
use super::rows::{self, Rows};
use super::undo::Undo;
use super::watch::Watch;
use super::{Running, StoreOptions};
use crate::ambient::{OsRandom, Random};

pub(super) fn draw_epoch() -> u64 {
    let mut bytes = [0; 8];
    OsRandom.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Makes an empty store.
pub(super) fn create(layout: &Layout, options: &StoreOptions) -> Result<Format, StoreError> {
    let made = rows::open(&layout.rows_new(), options.cache_bytes, options.sync)?;
    rows::close(made.db);
    let epoch = options.new_epoch.unwrap_or_else(draw_epoch);
    let format = Format {
        version: FORMAT_VERSION,
        epoch,
    };
    layout.open_witness()?.0.begin()?;
    layout.finish(format)?;
    Ok(format)
}

/// Opens the database, checks it against the witness and starts the commit thread.
pub(super) fn start(
    layout: &Layout,
    options: &StoreOptions,
    format: Format,
    counters: &Arc<Counters>,
    watch: &Arc<Watch>,
) -> Result<(Running, Format), StoreError> {
    let rows = rows::open(&layout.rows(), options.cache_bytes, options.sync)?;
    let db = rows.db.clone();
    let started = start_rows(layout, format, counters, watch, rows);
    if started.is_err() {
        // The last handle: sled may panic when it is dropped.
        rows::close(db);
    }
    started
}

fn start_rows(
    layout: &Layout,
    found: Format,
    counters: &Arc<Counters>,
    watch: &Arc<Watch>,
    rows: Rows,
) -> Result<(Running, Format), StoreError> {
    let (witness, witnessed) = layout.open_witness()?;
    let group = last_group(&rows.db)?;
    counters.reached(group);
    let mut format = Format {
        version: FORMAT_VERSION,
        ..found
    };
    match witnessed {
        Some(witnessed) if witnessed > group => {
            tracing::error!(witnessed, found = group, "the database lost groups");
            return Err(StoreError::Damaged {
                advice: advice::LOST,
            });
        }
        Some(_) => {}
        None => {
            // Nobody can say whether this is all there was, so no old token may be believed.
            format.epoch = draw_epoch();
        }
    }
    if format != found {
        layout.write_format(format)?;
    }
    let line = Line::new();
    let known = Arc::new(OnceLock::new());
    let committer = Committer {
        db: rows.db.clone(),
        file: rows.file,
        witness,
        group,
        line: line.clone(),
        counters: counters.clone(),
        watch: watch.clone(),
        undo: Undo::default(),
        known: known.clone(),
    };
    let rouser = Rouser::start(rows.db.clone()).map_err(StoreError::io("start a thread"))?;
    let committer = thread::Builder::new()
        .name("store-commit".to_owned())
        .spawn(move || committer.run())
        .map_err(StoreError::io("start a thread"))?;
    Ok((
        Running {
            db: Some(rows.db),
            line,
            committer: Some(committer),
            dir: layout.rows(),
            rouser,
            known,
            readable: AtomicBool::new(false),
        },
        format,
    ))
}
