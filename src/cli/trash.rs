//! `sealdav trash`, `sealdav history` and `sealdav undo`: asked for as values and printed.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::admin::{AdminRequest, AdminResponse, Opener};
use super::commands::{administer, date, secret_line};
use super::open::Absent;
use super::{Failure, HistoryTask, Secrets, TrashTask, UndoFlags};
use crate::account::{Accounts, AdminError, Authority, vault_failed};
use crate::config::Config;
use crate::ids::{CollectionId, Segment, SlotId};
use crate::vault::{AccountStore, TrashFigures, Trashed, Undo, UndoReport, Undone};

/// What may be asked of an account by whoever has its password or recovery key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HistoryRequest {
    /// The account.
    name: String,
    opener: Opener,
    what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
enum What {
    Trash {
        moved: bool,
    },
    Restore {
        item: String,
        version: Option<u64>,
        name: Option<String>,
    },
    Purge {
        items: Vec<String>,
        all: bool,
    },
    History {
        object: String,
    },
    Show {
        object: String,
        version: u64,
    },
    Undo {
        device: String,
        since: String,
        apply: bool,
    },
}

/// The answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum HistoryAnswer {
    Trash {
        items: Vec<Item>,
        /// When the oldest goes before its time: a sentence.
        #[serde(default)]
        full: Option<String>,
    },
    History {
        versions: Vec<VersionLine>,
    },
    Body {
        base64: String,
    },
    Restored {
        path: String,
    },
    Purged {
        count: usize,
    },
    Undone {
        lines: Vec<UndoneLine>,
        changed: u64,
        left: u64,
    },
}

/// Something in the trash. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    id: String,
    /// "collection", "object" or "moved".
    kind: String,
    path: String,
    deleted: i64,
    slot: String,
    device: Option<String>,
    /// Objects of a collection, versions of an object.
    count: u64,
}

/// A past version. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct VersionLine {
    version: u64,
    name: String,
    bytes: u64,
    etag: String,
    stored: i64,
    stored_by: Option<String>,
    replaced: i64,
    replaced_by: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UndoneLine {
    path: String,
    undone: String,
}

/// Does what is asked; what is done of it is counted in `done` meanwhile.
pub(super) fn execute(
    accounts: &Accounts,
    request: HistoryRequest,
    done: &AtomicU64,
) -> Result<HistoryAnswer, String> {
    let HistoryRequest { name, opener, what } = request;
    let account = accounts.open_whole(&name, &Authority::from(opener));
    let account = account.map_err(|error| error.to_string())?;
    let one = One {
        labels: accounts
            .device_labels(&name)
            .map_err(|error| error.to_string())?,
        accounts,
        account,
        name,
        done,
    };
    one.execute(what).map_err(|error| error.to_string())
}

/// An account that is open for one command.
struct One<'a> {
    accounts: &'a Accounts,
    account: AccountStore,
    name: String,
    labels: Vec<(SlotId, String)>,
    done: &'a AtomicU64,
}

impl One<'_> {
    fn execute(&self, what: What) -> Result<HistoryAnswer, AdminError> {
        match what {
            What::Trash { moved } => self.trash(moved),
            What::Restore {
                item,
                version,
                name,
            } => self.restore(&item, version, name),
            What::Purge { items, all } => self.purge(&items, all),
            What::History { object } => self.history(&object),
            What::Show { object, version } => {
                let at = self.accounts.address(&self.account, &object)?;
                let body = self.account.version_body(at.collection, at.object, version);
                let body = body.map_err(|error| vault_failed(&error))?;
                Ok(HistoryAnswer::Body {
                    base64: BASE64.encode(body),
                })
            }
            What::Undo {
                device,
                since,
                apply,
            } => {
                let device = self.accounts.device_named(&self.name, &device)?;
                let since = self.accounts.past_time(&since)?;
                let undo = if apply { Undo::Apply } else { Undo::DryRun };
                let report = self.account.undo(device, since, undo, self.done);
                report.map(undone).map_err(|error| vault_failed(&error))
            }
        }
    }

    fn label(&self, slot: SlotId) -> Option<String> {
        let found = self.labels.iter().find(|(id, _)| *id == slot);
        found.map(|(_, label)| label.clone())
    }

    fn path(&self, collection: CollectionId, name: Option<&Segment>) -> String {
        text(&self.account.path_of(collection), name)
    }

    fn trash(&self, moved: bool) -> Result<HistoryAnswer, AdminError> {
        let failed = |error| vault_failed(&error);
        let collections = self.account.trashed_collections().map_err(failed)?;
        let item = |one: &Trashed| Item {
            id: one.id.to_string(),
            kind: "collection".to_owned(),
            path: text(&one.path, None),
            deleted: one.since.0,
            slot: one.by.to_string(),
            device: self.label(one.by),
            count: one.objects,
        };
        let roots = collections.iter().filter(|one| one.id == one.root);
        let mut items: Vec<_> = roots.map(|one| item(one)).collect();
        let objects = self.account.trashed_objects().map_err(failed)?;
        let objects = objects.into_iter().filter(|one| moved || !one.moved);
        items.extend(objects.map(|one| Item {
            id: one.object.to_string(),
            kind: if one.moved { "moved" } else { "object" }.to_owned(),
            path: self.path(one.collection, Some(&one.last.segment)),
            deleted: one.last.replaced.0,
            slot: one.last.by.to_string(),
            device: self.label(one.last.by),
            count: one.versions as u64,
        }));
        items.sort_by_key(|item| std::cmp::Reverse(item.deleted));
        let figures = self.account.trash_figures().map_err(failed)?;
        let full = figures.is_full().then(|| full(&figures));
        Ok(HistoryAnswer::Trash { items, full })
    }

    /// A deleted collection, by its id.
    fn collection(&self, text: &str) -> Result<Option<CollectionId>, AdminError> {
        let trashed = self.account.trashed_collections();
        let trashed = trashed.map_err(|error| vault_failed(&error))?;
        let id = CollectionId::from_hex(text);
        let mut roots = trashed.iter().filter(|one| one.id == one.root);
        Ok(roots.find(|one| Some(one.id) == id).map(|one| one.id))
    }

    fn restore(
        &self,
        item: &str,
        version: Option<u64>,
        name: Option<String>,
    ) -> Result<HistoryAnswer, AdminError> {
        let failed = |error| vault_failed(&error);
        let name = name.map(|name| Segment::parse(&name)).transpose()?;
        let path = match self.collection(item)? {
            Some(id) => {
                let restored = self.account.restore_collection(id, name).map_err(failed)?;
                self.path(restored.id, None)
            }
            None => {
                let at = self.accounts.address(&self.account, item)?;
                let newest = || {
                    let versions = self.account.history(at.collection, at.object);
                    let versions = versions.map_err(failed)?;
                    let newest = versions.first().map(|version| version.revision);
                    newest.ok_or_else(|| AdminError("it has no past versions".into()))
                };
                let version = version.map_or_else(newest, Ok)?;
                let restored = self
                    .account
                    .write(|tx| tx.restore_version(at.collection, at.object, version, name));
                let restored = restored.map_err(failed)?;
                self.path(at.collection, Some(&restored.segment))
            }
        };
        self.wait()?;
        Ok(HistoryAnswer::Restored { path })
    }

    fn wait(&self) -> Result<(), AdminError> {
        let durable = self.account.barrier().wait();
        durable.map_err(|error| AdminError(format!("the store failed: {error}")))
    }

    fn purge(&self, items: &[String], all: bool) -> Result<HistoryAnswer, AdminError> {
        let failed = |error| vault_failed(&error);
        let mut count = 0;
        for item in items {
            match self.collection(item)? {
                Some(id) => self.account.purge_collection(id).map_err(failed)?,
                None => {
                    let at = self.accounts.address(&self.account, item)?;
                    let purged = self
                        .account
                        .write(|tx| tx.purge_history(at.collection, at.object));
                    purged.map_err(failed)?;
                }
            }
            count += 1;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        if all {
            let trashed = self.account.trashed_collections().map_err(failed)?;
            for one in trashed.iter().filter(|one| one.id == one.root) {
                self.account.purge_collection(one.id).map_err(failed)?;
                count += 1;
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            for id in self.account.subtree() {
                let purged = self.account.purge_histories(id, self.done);
                count += purged.map_err(failed)?;
            }
        }
        self.wait()?;
        self.accounts.purge_now();
        Ok(HistoryAnswer::Purged { count })
    }

    fn history(&self, object: &str) -> Result<HistoryAnswer, AdminError> {
        let at = self.accounts.address(&self.account, object)?;
        let versions = self.account.history(at.collection, at.object);
        let versions = versions.map_err(|error| vault_failed(&error))?;
        let known = |slot: SlotId| {
            let label = || self.label(slot).unwrap_or_else(|| slot.to_string());
            (slot != SlotId::NONE).then(label)
        };
        let line = |version: crate::vault::Version| VersionLine {
            version: version.revision,
            name: version.segment.as_str().to_owned(),
            bytes: version.size,
            etag: version.etag.to_string(),
            stored: version.modified.0,
            stored_by: known(version.device),
            replaced: version.replaced.0,
            replaced_by: known(version.by),
        };
        Ok(HistoryAnswer::History {
            versions: versions.into_iter().map(line).collect(),
        })
    }
}

fn full(figures: &TrashFigures) -> String {
    const MIB: u64 = 1 << 20;
    let (items, most) = (figures.items, figures.most.items);
    let (bytes, most_bytes) = (figures.bytes / MIB, figures.most.bytes / MIB);
    let begin = format!(
        "The trash is full: {items} of {most} versions, {bytes} of {most_bytes} MiB ([trash] items, megabytes)"
    );
    match figures.cut {
        Some(cut) => format!(
            "{begin}. What was deleted or replaced before {} is gone",
            date(cut.0)
        ),
        None => format!("{begin}. The oldest goes next"),
    }
}

fn text(path: &[Segment], name: Option<&Segment>) -> String {
    let parts: Vec<_> = path.iter().chain(name).map(Segment::as_str).collect();
    format!("/{}", parts.join("/"))
}

fn undone(report: UndoReport) -> HistoryAnswer {
    let what = |undone: Undone| match undone {
        Undone::Deleted => "deleted",
        Undone::Reverted => "reverted",
        Undone::Restored => "restored",
        Undone::ChangedLater => "left: another device changed it later",
        Undone::NotKept => "left: what was there before is no longer kept",
        Undone::NameOrProperties => "left: only its name or properties changed",
        Undone::OthersWrote => "left: other devices wrote into it since",
        Undone::InTheWay => "left: its name or its UID is in use",
        Undone::Failed => "left: it is damaged, or changed at this moment",
    };
    let line = |line: crate::vault::UndoLine| UndoneLine {
        path: line.path,
        undone: what(line.undone).to_owned(),
    };
    HistoryAnswer::Undone {
        lines: report.lines.into_iter().map(line).collect(),
        changed: report.changed,
        left: report.left,
    }
}

fn ask(
    config: &Config,
    name: String,
    secrets: &Secrets,
    what: What,
) -> Result<HistoryAnswer, Failure> {
    let opener = match secrets.recovery_key_stdin {
        true => Opener::RecoveryKey(secret_line("the recovery key")?),
        false => Opener::Password(secret_line("the account's password")?),
    };
    ask_again(config, HistoryRequest { name, opener, what })
}

fn ask_again(config: &Config, request: HistoryRequest) -> Result<HistoryAnswer, Failure> {
    match administer(config, AdminRequest::History { request }, Absent::Refuse)? {
        AdminResponse::History { answer } => Ok(answer),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Failure {
    Failure("the server gave another answer; are both of the same version?".to_owned())
}

/// `sealdav trash ..`
pub(super) fn trash(
    config: &Config,
    task: TrashTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match task {
        TrashTask::List {
            name,
            moved,
            secrets,
            json,
        } => match ask(config, name, &secrets, What::Trash { moved })? {
            HistoryAnswer::Trash { items, full } => {
                print_items(&items, json, output)?;
                if let Some(full) = full {
                    writeln!(std::io::stderr(), "{full}.")?;
                }
                Ok(())
            }
            _ => Err(unexpected()),
        },
        TrashTask::Restore {
            name,
            item,
            new_name,
            secrets,
        } => {
            let what = What::Restore {
                item,
                version: None,
                name: new_name,
            };
            restored(ask(config, name, &secrets, what)?, output)
        }
        TrashTask::Purge {
            name,
            items,
            all,
            secrets,
        } => match ask(config, name, &secrets, What::Purge { items, all })? {
            HistoryAnswer::Purged { count } => Ok(writeln!(output, "{count} purged for good.")?),
            _ => Err(unexpected()),
        },
    }
}

fn print_items(items: &[Item], json: bool, output: &mut dyn Write) -> Result<(), Failure> {
    for item in items {
        if json {
            writeln!(output, "{}", json!(item))?;
            continue;
        }
        let unit = match item.kind.as_str() {
            "collection" => "objects",
            _ => "versions",
        };
        let (id, kind, path, count) = (&item.id, &item.kind, &item.path, item.count);
        let device = item.device.as_ref().unwrap_or(&item.slot);
        let when = date(item.deleted);
        writeln!(
            output,
            "{id}\t{kind}\t{when}\t{count} {unit}\t{device}\t{path}"
        )?;
    }
    Ok(())
}

fn restored(answer: HistoryAnswer, output: &mut dyn Write) -> Result<(), Failure> {
    match answer {
        HistoryAnswer::Restored { path } => Ok(writeln!(output, "Restored: {path}")?),
        _ => Err(unexpected()),
    }
}

/// `sealdav history ..`
pub(super) fn history(
    config: &Config,
    task: HistoryTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match task {
        HistoryTask::List {
            name,
            object,
            secrets,
            json,
        } => match ask(config, name, &secrets, What::History { object })? {
            HistoryAnswer::History { versions } => print_versions(&versions, json, output),
            _ => Err(unexpected()),
        },
        HistoryTask::Show {
            name,
            object,
            version,
            output: file,
            secrets,
        } => match ask(config, name, &secrets, What::Show { object, version })? {
            HistoryAnswer::Body { base64 } => show(&base64, file.as_deref(), output),
            _ => Err(unexpected()),
        },
        HistoryTask::Restore {
            name,
            object,
            version,
            new_name,
            secrets,
        } => {
            let what = What::Restore {
                item: object,
                version: Some(version),
                name: new_name,
            };
            restored(ask(config, name, &secrets, what)?, output)
        }
    }
}

fn print_versions(
    versions: &[VersionLine],
    json: bool,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    for line in versions {
        if json {
            writeln!(output, "{}", json!(line))?;
            continue;
        }
        let unknown = || "-".to_owned();
        let by = line.stored_by.clone().unwrap_or_else(unknown);
        let replaced_by = line.replaced_by.clone().unwrap_or_else(unknown);
        let (stored, replaced) = (date(line.stored), date(line.replaced));
        let (version, bytes, name) = (line.version, line.bytes, &line.name);
        writeln!(
            output,
            "{version}\t{bytes} bytes\tstored {stored}\t{by}\treplaced {replaced}\t{replaced_by}\t{name}"
        )?;
    }
    Ok(())
}

fn show(base64: &str, file: Option<&Path>, output: &mut dyn Write) -> Result<(), Failure> {
    let body = BASE64.decode(base64).map_err(|_| unexpected())?;
    let Some(file) = file else {
        return Ok(output.write_all(&body)?);
    };
    let new = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file);
    let written = new.and_then(|mut new| new.write_all(&body));
    written.map_err(|error| Failure(format!("{} cannot be written: {error}", file.display())))
}

/// `sealdav undo`
pub(super) fn undo(
    config: &Config,
    flags: UndoFlags,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let UndoFlags {
        name,
        device,
        since,
        yes,
        secrets,
        json,
    } = flags;
    let what = What::Undo {
        device,
        since,
        apply: yes,
    };
    let HistoryAnswer::Undone {
        lines,
        changed,
        left,
    } = ask(config, name, &secrets, what)?
    else {
        return Err(unexpected());
    };
    if json {
        let report = json!({ "applied": yes, "changed": changed, "left": left, "lines": lines });
        return Ok(writeln!(output, "{report}")?);
    }
    for line in &lines {
        writeln!(output, "{}\t{}", line.undone, line.path)?;
    }
    match yes {
        true => writeln!(output, "{changed} undone, {left} left as they are.")?,
        false => writeln!(
            output,
            "{changed} would be undone, {left} left as they are. Nothing was changed: add --yes to do it."
        )?,
    }
    Ok(())
}
