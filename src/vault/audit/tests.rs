//! The audit trail over a real vault.

use std::sync::atomic::AtomicI64;

use super::page::{HOUR_MILLIS, day_of};
use super::*;
use crate::ids::ObjectId;
use crate::seal::{AccountKey, Generated, Kind, PairKey, RowName, Sealed, SlotContent, SlotKey};
use crate::vault::testing::{SYNC_FAILS, TestVault};
use crate::vault::tests::{calendar, event, property, put, segment};
use crate::vault::{AccountStore, VaultError};

const ALWAYS: UnixMillis = UnixMillis(0);
/// Noon of some day.
const NOON: i64 = 20_000 * 24 * HOUR_MILLIS + 12 * HOUR_MILLIS;

fn whole(content: SlotContent) -> AccountKey {
    match content.key {
        SlotKey::Whole(key) => key,
        SlotKey::Limited(_) => panic!("the slot opens the whole account"),
    }
}

struct Scene {
    vault: TestVault,
    clock: Arc<AtomicI64>,
    alice: Generated,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(NOON));
        let vault = TestVault::with_clock(&clock);
        let alice = vault.add("alice");
        Scene {
            vault,
            clock,
            alice,
        }
    }

    fn vault(&self) -> &Arc<Vault> {
        &self.vault.vault
    }

    fn alice(&self) -> AccountStore {
        self.vault.unlock("alice", &self.alice)
    }

    fn id(&self) -> AccountId {
        self.vault().account_named("alice").unwrap().id
    }

    fn keys(&self) -> Vec<PairKey> {
        vec![whole(self.vault.key("alice", &self.alice).0).pair()]
    }

    fn pass(&self, hours: i64) {
        self.clock.fetch_add(hours * HOUR_MILLIS, Ordering::Relaxed);
    }

    fn put(&self, account: &AccountStore, name: &str) {
        put(account, event(calendar(account), name, name, "lunch"));
        account.barrier().wait().unwrap();
    }

    /// What the entries of a chain say, as often as they do.
    fn told(&self, action: Action) -> Vec<AuditLine> {
        let keys = self.keys();
        let shown = self.vault().audit_of(self.id(), &keys, ALWAYS, 9_999);
        let shown = shown.unwrap();
        assert_eq!((shown.unread, shown.more), (0, false));
        let lines = shown.lines.into_iter();
        lines.filter(|line| line.action == action).collect()
    }

    fn told_office(&self, action: Action) -> Vec<AuditLine> {
        let shown = self.vault().audit_of_administration(ALWAYS, 9_999).unwrap();
        let lines = shown.lines.into_iter();
        lines.filter(|line| line.action == action).collect()
    }

    fn rows(&self) -> ChainRows {
        ChainRows::new(self.id(), &self.vault().host_names)
    }

    fn get(&self, name: &RowName) -> Option<Vec<u8>> {
        let stored = self.vault().store.get(name).unwrap();
        stored.map(|stored| stored.bytes().to_vec())
    }

    fn set(&self, name: RowName, bytes: Option<Vec<u8>>) {
        let mut batch = Batch::new();
        match bytes {
            Some(bytes) => batch.put(name, Sealed::for_test(bytes)),
            None => batch.delete(name),
        }
        self.vault().store.commit(batch).wait().unwrap();
    }

    /// Which pages of alice's a verification names.
    fn named(&self) -> Vec<Option<u64>> {
        let report = self.vault().verify_audit().unwrap();
        let hers = report.findings.iter();
        let hers = hers.filter(|finding| finding.account == self.id());
        hers.map(|finding| finding.page).collect()
    }

    /// Seven pages, the last of them open.
    fn seven_pages() -> Self {
        let scene = Scene::new();
        let account = scene.alice();
        for page in 1..7 {
            scene.pass(1);
            scene.put(&account, &page.to_string());
        }
        drop(account);
        scene.vault().mirror_audit().unwrap();
        assert_eq!(scene.named(), []);
        assert_eq!(scene.open_number(), 7);
        scene
    }

    fn open_number(&self) -> u64 {
        self.vault()
            .chain(self.id())
            .state
            .lock()
            .open()
            .unwrap()
            .number
    }

    fn restart(self) -> Self {
        Scene {
            vault: self.vault.restart(),
            ..self
        }
    }

    fn findings(&self) -> Vec<String> {
        let findings = self.vault().audit_findings();
        findings.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_user_reads_their_own_trail_and_nobody_elses() {
    let scene = Scene::new();
    let bob = scene.vault.add("bob");
    let account = scene.alice();
    let id = calendar(&account);
    scene.put(&account, "a.ics");
    let object = account.object(id, &segment("a.ics")).unwrap().unwrap();
    account.body(id, &object).unwrap();
    account.body(id, &object).unwrap();
    scene.vault().flush_audit().unwrap();
    let [read] = &scene.told(Action::Read)[..] else {
        panic!("one entry of reads")
    };
    let device = Some(account.device());
    assert_eq!(
        (read.collection, read.device, read.count),
        (Some(id), device, 2)
    );
    assert_eq!(
        (read.first, read.last),
        (UnixMillis(NOON), UnixMillis(NOON))
    );
    account.write(|tx| tx.delete_object(id, &object)).unwrap();
    let changed = |action| {
        let lines = scene.told(action);
        lines.iter().filter(|line| line.device == device).count()
    };
    assert_eq!((changed(Action::Change), changed(Action::Delete)), (1, 1));
    // Neither another user's key nor the host's opens a page of hers.
    let bobs = vec![whole(scene.vault.key("bob", &bob).0).pair()];
    let shown = scene
        .vault()
        .audit_of(scene.id(), &bobs, ALWAYS, 9)
        .unwrap();
    assert_eq!((shown.lines.len(), shown.unread), (0, 1));
    let (pages, more) = scene.vault().export_audit(None, 99).unwrap();
    assert_eq!((pages.len(), more), (3, None));
    for page in pages {
        assert_eq!(page.entries.is_some(), page.account == AccountId::NONE);
    }
    // What the host key opens of it holds neither the device nor the calendar.
    let chain = scene.vault().chain(scene.id());
    let state = chain.state.lock();
    let row = state.open().unwrap();
    assert_eq!(row.administration(), None);
    let outer = crate::vault::rows::encode(row);
    for hidden in [account.device().bytes(), id.bytes()] {
        assert!(!outer.windows(16).any(|part| part == hidden));
    }
}

#[test]
fn each_kind_of_change_is_told_once() {
    let scene = Scene::new();
    let account = scene.alice();
    let home = account.home().id;
    let folder = crate::vault::tests::plain(&account, home, "folder");
    account
        .write(|tx| tx.set_collection_properties(folder, property("<x/>")))
        .unwrap();
    let rename = crate::vault::Destination {
        parent: home,
        segment: segment("renamed"),
        calendar: None,
    };
    account
        .write(|tx| tx.move_collection(folder, rename))
        .unwrap();
    account.write(|tx| tx.delete_collection(folder)).unwrap();
    let device = Some(account.device());
    let told = |action| {
        let lines = scene.told(action).into_iter();
        let lines = lines.filter(|line| line.device == device);
        lines
            .map(|line| (line.collection.unwrap(), line.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(Action::MakeCollection), [(folder, 1)]);
    assert_eq!(told(Action::ChangeCollection), [(folder, 2)]);
    assert_eq!(told(Action::DeleteCollection), [(folder, 1)]);
    assert_eq!(
        (told(Action::Change), told(Action::Delete)),
        (vec![], vec![])
    );
    drop(account);
    scene.alice();
    assert_eq!(scene.findings(), [""; 0], "the heads add up");
}

#[test]
fn the_same_within_an_hour_only_counts_up() {
    let scene = Scene::new();
    let account = scene.alice();
    let rows = || {
        scene
            .vault()
            .store
            .names(&scene.rows().names.prefix(Kind::AuditPage))
            .count()
    };
    assert_eq!(rows(), 1);
    for number in 0..100 {
        scene.put(&account, &number.to_string());
    }
    assert_eq!(rows(), 1);
    let mine = |lines: Vec<AuditLine>| -> Vec<u64> {
        let lines = lines
            .iter()
            .filter(|line| line.device == Some(account.device()));
        lines.map(|line| line.count).collect()
    };
    assert_eq!(mine(scene.told(Action::Change)), [100]);
    scene.pass(1);
    scene.put(&account, "later");
    assert_eq!(
        (rows(), mine(scene.told(Action::Change))),
        (2, vec![100, 1])
    );
    assert_eq!(scene.named(), []);
}

#[test]
fn edited_deleted_and_reordered_pages_are_named() {
    let scene = Scene::seven_pages();
    let name = |number| scene.rows().page(number);
    let bytes: Vec<_> = (0..7)
        .map(|number| scene.get(&name(number)).unwrap())
        .collect();
    for number in 1..7_u64 {
        let page = &bytes[usize::try_from(number).unwrap()];
        for at in (0..page.len()).step_by(17) {
            let mut edited = page.clone();
            edited[at] ^= 1;
            scene.set(name(number), Some(edited));
            assert_eq!(scene.named(), [Some(number)], "byte {at}");
        }
        scene.set(name(number), None);
        assert_eq!(scene.named(), [Some(number)]);
        scene.set(name(number), Some(page.clone()));
    }
    assert_eq!(scene.named(), []);
    scene.set(name(2), Some(bytes[3].clone()));
    scene.set(name(3), Some(bytes[2].clone()));
    assert_eq!(scene.named(), [Some(2), Some(3)]);
    scene.set(name(2), Some(bytes[2].clone()));
    scene.set(name(3), Some(bytes[3].clone()));
    // The open page: lost, edited, or replaced by one that was closed.
    for other in [None, Some(bytes[6].clone())] {
        scene.set(scene.rows().open_page(), other);
        assert_eq!(scene.named(), [Some(7)]);
    }
    scene.set(scene.rows().open_page(), Some(bytes[0].clone()));
    assert_eq!(scene.named(), []);
}

/// What only the host could write, and an older version of it: a page that names another hash.
#[test]
fn a_page_that_does_not_follow_is_named() {
    let scene = Scene::seven_pages();
    let name = scene.rows().page(4);
    let stored = scene.vault().store.get(&name).unwrap().unwrap();
    let mut row = scene.vault().open_page(&name, stored).unwrap();
    row.hour += 1;
    let sealed = scene
        .vault()
        .seal_host(Kind::AuditPage, &name, &crate::vault::rows::encode(&row));
    scene.set(name, Some(sealed.bytes().to_vec()));
    assert_eq!(scene.named(), [Some(5)]);
}

#[test]
fn a_truncated_trail_is_named_also_after_a_restart() {
    let scene = Scene::new();
    let account = scene.alice();
    scene.pass(1);
    scene.put(&account, "a");
    drop(account);
    let old = scene.get(&scene.rows().open_page());
    let account = scene.alice();
    for page in 0..3 {
        scene.pass(1);
        scene.put(&account, &page.to_string());
    }
    drop(account);
    assert_eq!(scene.open_number(), 5);
    // Put back with the pages after it removed, while the server does not run: without the
    // mirror nothing would tell.
    scene.vault().mirror_audit().unwrap();
    for number in 2..5 {
        scene.set(scene.rows().page(number), None);
    }
    scene.set(scene.rows().open_page(), old);
    let scene = scene.restart();
    assert_eq!(scene.open_number(), 2);
    let found = &scene.findings()[..];
    let [finding] = found else {
        panic!("{found:?}")
    };
    assert!(
        finding.contains("page 5: the audit trail was truncated"),
        "{finding}"
    );
    assert_eq!(scene.named(), [Some(5)]);
    // The server goes on, and says so in administration.
    let account = scene.vault.try_unlock("alice", &scene.alice).unwrap();
    scene.put(&account, "b");
    drop(account);
    scene.vault().flush_audit().unwrap();
    assert_eq!(
        scene.told_office(Action::Rollback)[0].account,
        Some(scene.id())
    );
    // The mirror is overwritten in time, and what it said is kept.
    scene.vault().mirror_audit().unwrap();
    let scene = scene.restart();
    let report = scene.vault().verify_audit().unwrap();
    let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(
        found
            .iter()
            .any(|what| what.contains("audit.heads.disputed")),
        "{found:?}"
    );
    std::fs::remove_file(scene.vault.directory.path().join("audit.heads.disputed")).unwrap();
    let scene = scene.restart();
    assert_eq!(scene.findings(), [""; 0]);
}

#[test]
fn a_whole_database_put_back_is_noticed() {
    let scene = Scene::new();
    scene.put(&scene.alice(), "a");
    let copy = tempfile::tempdir().unwrap();
    let database = scene.vault.directory.path().join("db");
    let scene = scene.restart();
    // The store is closed for a moment, or the copy would be torn.
    let TestVaultParts { vault, copied } = parts(scene, &database, copy.path(), Way::Out);
    assert!(copied > 3);
    let scene = vault;
    scene.put(&scene.alice(), "b");
    scene.vault().mirror_audit().unwrap();
    let scene = parts(scene, &database, copy.path(), Way::Back).vault;
    let found = scene.findings().join("\n");
    assert!(
        found.contains("the database is older than audit.heads says"),
        "{found}"
    );
    assert!(
        found.contains("the audit trail was truncated or put back"),
        "{found}"
    );
    assert!(!scene.vault().verify_audit().unwrap().findings.is_empty());
    scene.put(&scene.vault.try_unlock("alice", &scene.alice).unwrap(), "c");
}

enum Way {
    Out,
    Back,
}

struct TestVaultParts {
    vault: Scene,
    copied: usize,
}

/// Copies the database, out or back, while no server runs on it.
fn parts(
    scene: Scene,
    database: &std::path::Path,
    copy: &std::path::Path,
    way: Way,
) -> TestVaultParts {
    let mut copied = 0;
    let vault = scene.vault.restart_after(|| {
        let (from, to) = match way {
            Way::Out => (database, copy),
            Way::Back => (copy, database),
        };
        copied = copy_tree(from, to);
    });
    let vault = Scene { vault, ..scene };
    TestVaultParts { vault, copied }
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) -> usize {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir(to).unwrap();
    let mut copied = 0;
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied += copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
            copied += 1;
        }
    }
    copied
}

#[test]
fn an_old_head_put_back_is_noticed_at_the_unlock() {
    let scene = Scene::new();
    let account = scene.alice();
    let id = calendar(&account);
    let object = put(&account, event(id, "a", "a", "lunch"));
    let head = account.state(id).unwrap().head_name();
    let old =
        [head, account.inner.link_name(id).unwrap()].map(|name| (name, scene.get(&name).unwrap()));
    // Only properties change: neither the objects nor the member collections add up differently.
    account
        .write(|tx| tx.set_object_properties(id, &object, property("<x/>")))
        .unwrap();
    account.barrier().wait().unwrap();
    let now = scene.get(&head).unwrap();
    drop(account);
    scene.alice();
    assert_eq!(scene.findings(), [""; 0]);
    scene.set(head, Some(old[0].1.clone()));
    scene.vault.try_unlock("alice", &scene.alice).unwrap();
    let found = scene.findings();
    assert!(
        found[0].contains("do not add up to the audit trail"),
        "{found:?}"
    );
    let report = scene.vault().verify_audit().unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.account == scene.id())
    );
    scene.vault().flush_audit().unwrap();
    assert_eq!(scene.told_office(Action::Rollback).len(), 1);
    // Together with the page that vouched for it, the mirror tells.
    scene.set(head, Some(now));
    let scene = scene.restart();
    let page = scene.get(&scene.rows().open_page());
    let account = scene.alice();
    account
        .write(|tx| tx.set_collection_properties(id, property("<y/>")))
        .unwrap();
    account.barrier().wait().unwrap();
    drop(account);
    scene.vault().mirror_audit().unwrap();
    scene.set(scene.rows().page(scene.open_number() - 1), None);
    scene.set(scene.rows().open_page(), page);
    let scene = scene.restart();
    assert!(!scene.findings().is_empty());
}

#[test]
fn a_change_and_its_page_are_written_together_or_not_at_all() {
    let scene = Scene::new();
    let account = scene.alice();
    let id = calendar(&account);
    scene.put(&account, "kept");
    let before = scene.get(&scene.rows().open_page());
    SYNC_FAILS.store(true, Ordering::Relaxed);
    put(&account, event(id, "lost", "lost", "x"));
    assert!(account.barrier().wait().is_err(), "it was acknowledged");
    let lines_before = UnixMillis(NOON);
    // Nothing of administration is done either.
    assert!(scene.vault().set_enabled(scene.id(), false).is_err());
    assert!(scene.vault().account(scene.id()).unwrap().enabled);
    let slots = |scene: &Scene| scene.vault().key_file(scene.id()).unwrap().slots.len();
    let count = slots(&scene);
    assert!(scene.vault().change_slots(scene.id(), Vec::clear).is_err());
    assert_eq!(slots(&scene), count);
    assert!(scene.vault().delete_account(scene.id()).is_err());
    assert!(scene.vault().key_file(scene.id()).is_some());
    // Neither is the mirror written, which must never lead; reads go on and are counted.
    assert!(scene.vault().mirror_audit().is_err());
    account.members(id).unwrap();
    assert!(scene.vault().flush_audit().is_err());
    SYNC_FAILS.store(false, Ordering::Relaxed);
    scene.vault().recover().unwrap();
    drop(account);
    // The store may have kept the change or not: the page goes with it.
    let account = scene.alice();
    let kept = account.object(id, &segment("lost")).unwrap().is_some();
    let page = scene.get(&scene.rows().open_page());
    assert_eq!(kept, page != before, "the page is that of the data");
    drop(account);
    scene.alice();
    scene.vault().flush_audit().unwrap();
    assert_eq!(scene.told(Action::Read)[0].first, lines_before);
    scene.vault().mirror_audit().unwrap();
    assert_eq!(scene.findings(), [""; 0]);
    let scene = scene.restart();
    assert_eq!((scene.findings(), scene.named()), (vec![], vec![]));
}

#[test]
fn a_flood_writes_a_bounded_number_of_entries() {
    let scene = Scene::new();
    let chain = scene.vault().chain(scene.id());
    let office = scene.vault().chain(AccountId::NONE);
    let pages = |rows: &ChainRows| {
        let names = scene
            .vault()
            .store
            .names(&rows.names.prefix(Kind::AuditPage));
        names.count()
    };
    let entries = limits::AUDIT_HOUR_ENTRIES + limits::AUDIT_PAGE_ENTRIES_MOST;
    let bound = entries / limits::AUDIT_PAGE_ENTRIES;
    for minute in 0_u64..50 {
        for number in 0_u64..2_000 {
            let mut collection = [0; 16];
            collection[..8].copy_from_slice(&(minute * 2_000 + number).to_le_bytes());
            let collection = CollectionId::from_bytes(collection);
            let device = SlotId::from_bytes([u8::try_from(number % 100).unwrap(); 16]);
            let what = Happening::within(Action::Read, device, collection);
            scene.vault().note(scene.id(), what);
            scene
                .vault()
                .note(AccountId::NONE, Happening::of(Action::Failure));
        }
        assert!(chain.pending.lock().0.len() <= limits::AUDIT_PENDING + 101);
        scene.vault().flush_audit().unwrap();
    }
    assert!(pages(&chain.rows) <= bound, "{} pages", pages(&chain.rows));
    assert!(pages(&office.rows) <= 2);
    let reads = scene.told(Action::Read);
    assert!(reads.len() <= entries, "{} entries", reads.len());
    assert_eq!(reads.iter().map(|line| line.count).sum::<u64>(), 100_000);
    let failures = scene.told_office(Action::Failure);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].count, 100_000);
    assert_eq!(scene.named(), []);
}

#[test]
fn keys_of_a_day_are_forgotten_when_it_is_over_and_at_a_restart() {
    let scene = Scene::new();
    scene.put(&scene.alice(), "a");
    let remembers = |scene: &Scene| scene.vault().chain(scene.id()).state.lock().remembers();
    assert!(remembers(&scene));
    scene.pass(11);
    scene.vault().flush_audit().unwrap();
    assert!(remembers(&scene), "the day is not over");
    scene.pass(1);
    scene.vault().flush_audit().unwrap();
    assert!(!remembers(&scene));
    scene.put(&scene.alice(), "b");
    assert!(remembers(&scene));
    let scene = scene.restart();
    assert!(!remembers(&scene));
    // The page from before is closed as it stands, and her key opens all of them.
    scene.put(&scene.alice(), "c");
    assert_eq!(scene.open_number(), 3);
    let mine = scene.told(Action::Change);
    let mine = mine.iter().filter(|line| line.device.is_some());
    assert_eq!(mine.map(|line| line.count).sum::<u64>(), 3);
    assert_eq!(scene.named(), []);
}

#[test]
fn old_pages_are_cut_at_a_signed_checkpoint_when_their_day_is_too_long_ago() {
    let scene = Scene::seven_pages();
    let started = day_of(hour_of(UnixMillis(NOON)));
    let kept = || {
        let names = scene
            .vault()
            .store
            .names(&scene.rows().names.prefix(Kind::AuditPage));
        names.count()
    };
    assert_eq!(kept(), 7);
    // All pages are of the first day; the last moment of the 180th day after it.
    let end = (started + 181) * 24 * HOUR_MILLIS - 1;
    scene.clock.store(end, Ordering::Relaxed);
    scene.vault().cut_audit(180).unwrap();
    assert_eq!(kept(), 7);
    scene.clock.store(end + 1, Ordering::Relaxed);
    scene.vault().cut_audit(180).unwrap();
    assert_eq!(kept(), 1, "the open page stays");
    assert_eq!(scene.named(), []);
    scene.put(&scene.alice(), "later");
    assert_eq!(scene.named(), []);
    scene.vault().mirror_audit().unwrap();
    let scene = scene.restart();
    assert_eq!((scene.findings(), scene.named()), (vec![], vec![]));
    // A page removed from the beginning is no authorised cut, nor is another checkpoint.
    scene.set(scene.rows().page(7), None);
    assert_eq!(scene.named(), [Some(7)]);
}

#[test]
fn a_cut_without_the_hosts_signature_is_named() {
    let scene = Scene::seven_pages();
    let root = scene.get(&scene.rows().root()).unwrap();
    let mut state = scene.vault().chain(scene.id());
    let mut batch = Batch::new();
    // As the host cuts, and then the row from before is put back: pages are missing.
    {
        let mut writing = scene.vault().audit.writing(&state);
        let name = scene.rows().page(3);
        let stored = scene.vault().store.get(&name).unwrap().unwrap();
        let previous = scene.vault().open_page(&name, stored).unwrap().previous;
        writing
            .state
            .cut(scene.vault(), &scene.rows(), &mut batch, 3, previous);
        scene.vault().store.commit(batch).wait().unwrap();
    }
    // The checkpoint alone, without its pages removed: they stand outside.
    assert_eq!(scene.named(), [Some(1), Some(2)]);
    scene.set(scene.rows().root(), Some(root));
    state = scene.vault().chain(scene.id());
    assert!(
        state
            .state
            .lock()
            .root()
            .unwrap()
            .holds(&scene.vault().host)
    );
    assert_eq!(scene.named(), [None, Some(1), Some(2)]);
}

#[test]
fn a_deleted_account_takes_its_pages_with_it_and_is_not_missed() {
    let scene = Scene::new();
    scene.vault.add("bob");
    scene.vault().mirror_audit().unwrap();
    let rows = scene.rows();
    let id = scene.id();
    let device = DeviceRecord {
        slot: SlotId::from_bytes([4; 16]),
        first: ALWAYS,
        last: ALWAYS,
        families: vec![ClientFamily::Ios],
    };
    let receipt = scene
        .vault()
        .store_devices(id, std::slice::from_ref(&device), &[]);
    receipt.wait().unwrap();
    assert_eq!(scene.vault().stored_devices(id).unwrap(), [device]);
    scene.vault().delete_account(id).unwrap();
    while scene.vault().purge_step().unwrap() {}
    for kind in [Kind::AuditPage, Kind::AuditRoot, Kind::Device] {
        assert_eq!(
            scene.vault().store.names(&rows.names.prefix(kind)).count(),
            0
        );
    }
    let [told] = &scene.told_office(Action::DeleteUser)[..] else {
        panic!("one deletion")
    };
    assert_eq!(told.account, Some(id));
    // The mirror still has its line.
    let scene = scene.restart();
    assert_eq!(scene.findings(), [""; 0]);
}

#[test]
fn an_edited_or_missing_mirror_is_told() {
    let scene = Scene::seven_pages();
    let path = scene.vault.directory.path().join("audit.heads");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("chain {} 7 ", scene.id())), "{text}");
    let found = |text: Option<String>| {
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let report = scene.vault().verify_audit().unwrap();
        report
            .findings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(found(Some(text.clone())), "");
    let edited = text.replace(" 7 ", " 6 ");
    assert!(found(Some(edited)).contains("signature does not hold"));
    assert!(found(Some(text[..text.len() / 2].to_owned())).contains("signature does not hold"));
    assert!(found(None).contains("audit.heads is missing"));
    // One that another host key signed is none.
    let other = TestVault::new();
    other.add("alice");
    assert!(found(Some(other.vault.mirror_text().unwrap())).contains("signature does not hold"));
    assert_eq!(found(Some(text)), "");
}

#[test]
fn pages_of_an_account_before_its_first_unlock_are_begun_then() {
    let scene = Scene::new();
    scene.put(&scene.alice(), "a");
    // As an earlier version left it.
    let office = ChainRows::new(AccountId::NONE, &scene.vault().host_names);
    for rows in [scene.rows(), office] {
        scene.set(rows.open_page(), None);
        scene.set(rows.root(), None);
    }
    let scene = scene.restart();
    assert_eq!(scene.findings(), [""; 0], "there was no mirror yet");
    scene
        .vault()
        .note(scene.id(), Happening::of(Action::Failure));
    scene.vault().flush_audit().unwrap();
    assert_eq!(
        scene.told_office(Action::Failure)[0].account,
        Some(scene.id())
    );
    scene.put(&scene.alice(), "b");
    assert_eq!((scene.open_number(), scene.named()), (1, vec![]));
    scene.alice();
    assert_eq!(scene.findings(), [""; 0]);
    scene.vault().flush_audit().unwrap();
    assert_eq!(
        scene.told_office(Action::Begin).last().unwrap().account,
        Some(scene.id())
    );
}

#[test]
fn a_damaged_open_page_leaves_a_gap_that_is_named() {
    let scene = Scene::seven_pages();
    let mut page = scene.get(&scene.rows().open_page()).unwrap();
    page[60] ^= 1;
    scene.set(scene.rows().open_page(), Some(page));
    let scene = scene.restart();
    assert!(
        scene.findings()[0].contains("page 7"),
        "{:?}",
        scene.findings()
    );
    let account = scene.vault.try_unlock("alice", &scene.alice).unwrap();
    scene.put(&account, "on it goes");
    assert_eq!(scene.open_number(), 8);
    assert!(scene.named().contains(&Some(7)));
    let unread: Result<_, VaultError> = account.body(
        calendar(&account),
        &account
            .object(calendar(&account), &segment("1"))
            .unwrap()
            .unwrap(),
    );
    assert_eq!(unread.unwrap(), b"lunch");
    assert_ne!(account.home().id.bytes(), ObjectId::NONE.bytes());
}

#[test]
fn a_change_costs_one_small_row_more() {
    let scene = Scene::new();
    let account = scene.alice();
    let id = calendar(&account);
    let before = scene.vault().store.statistics();
    for number in 0..100 {
        let name = number.to_string();
        put(&account, event(id, &name, &name, "lunch"));
    }
    account.barrier().wait().unwrap();
    let after = scene.vault().store.statistics();
    // Body, summary, head, and the page.
    assert_eq!(after.rows - before.rows, 400);
    let page = scene.get(&scene.rows().open_page()).unwrap();
    assert!(page.len() < 700, "{} bytes", page.len());
}

/// Some hundred calendars are changed in turn: the open page stays a small part of what is written.
#[test]
fn a_page_stays_small_whatever_happens_in_an_hour() {
    let scene = Scene::new();
    let chain = scene.vault().chain(scene.id());
    let mut largest = 0;
    for number in 0..6_000_u32 {
        let mut collection = [7; 16];
        collection[..4].copy_from_slice(&(number % 2_500).to_le_bytes());
        let device = SlotId::from_bytes([u8::try_from(number % 100).unwrap(); 16]);
        let what = Happening::within(Action::Change, device, CollectionId::from_bytes(collection));
        let mut writing = scene.vault().audit.writing(&chain);
        let (mut batch, now) = (Batch::new(), scene.vault().ambient.now());
        let heads = HeadsDelta::default();
        scene
            .vault()
            .record_change(&mut writing, &mut batch, now, &[what], &heads);
        largest = largest.max(batch.bytes());
        scene.vault().store.commit(batch);
    }
    assert!(largest < limits::ROW_BYTES / 2, "{largest} bytes");
    assert!(scene.open_number() < 20, "{} pages", scene.open_number());
    let changes = scene.told(Action::Change);
    assert!(changes.iter().map(|line| line.count).sum::<u64>() >= 6_000);
    assert_eq!(scene.named(), []);
}
