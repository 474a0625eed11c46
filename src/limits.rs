//! Every bound of the server, with its unit and reason, in this one place. What is advertised
//! to clients is computed from the same constants (or the configured value) that is enforced.

// Names

/// Bytes of a user name: stands in every URL, and a socket path must stay short.
pub const USER_NAME_BYTES: usize = 64;
/// Bytes of an e-mail address (RFC 5321 section 4.5.3.1 allows 254 in a path).
pub const EMAIL_BYTES: usize = 254;
/// Bytes of one decoded path segment: what file systems allow, so exports keep names.
pub const SEGMENT_BYTES: usize = 255;
/// Segments below the calendar home: deeper trees serve nobody, and every walk is bounded by it.
pub const TREE_DEPTH: usize = 16;
/// Bytes of a raw request target, before decoding.
pub const REQUEST_TARGET_BYTES: usize = 8 * 1024;

// Memory

/// Bytes of stack that are overwritten after each piece of work: more than any of it needs.
pub const STACK_WIPED_BYTES: usize = 128 * 1024;
/// The same after what is answered on the spot, which fits into it even in a program without
/// optimisations.
pub const STACK_WIPED_QUICKLY_BYTES: usize = 64 * 1024;
/// The same after a look at a header, or into a cache.
pub const STACK_WIPED_BRIEFLY_BYTES: usize = 16 * 1024;

// Objects and collections

/// Changes of a collection whose new objects are of one family (`seal::NameKey::family`): few enough
/// that the pages of the database which hold their rows stay in its cache, for 50 users who write at a time
/// too, and enough that few pages are fetched for each. Another number would change where new objects go, and no
/// name that is there.
pub const FAMILY_CHANGES: u64 = 64;
/// Default for the largest calendar object or file in bytes (CALDAV:max-resource-size, RFC 4791 section 5.2.5).
pub const OBJECT_BYTES: usize = 10 * 1024 * 1024;
/// The most of them that may be configured: a quarter of what all request bodies may take.
pub const OBJECT_BYTES_MOST: usize = BODY_BYTES_IN_FLIGHT / 4;
/// Default for the most ATTENDEEs in one instance (CALDAV:max-attendees-per-instance, RFC 4791 section 5.2.9).
pub const ATTENDEES: usize = 1_000;
/// Bytes of a body beyond the largest object that are still received, so that the refusal can name
/// max-resource-size rather than be a bare 413.
pub const OBJECT_EXCESS_BYTES: usize = 1024 * 1024;
/// Bytes of a calendar object's UID: it is kept in the summary, which is one row, and in memory.
pub const UID_BYTES: usize = 2 * 1024;
/// Bytes of a stored media type: it is kept in the summary, in memory.
pub const CONTENT_TYPE_BYTES: usize = 255;
/// Bytes of one stored body chunk: keeps a sled leaf from becoming a blob file (FINDINGS).
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Collections of one account: all their records are held in memory while it is unlocked.
pub const COLLECTIONS: usize = 10_000;
/// Members of one collection, its index being held in memory while it is in use.
pub const MEMBERS: usize = 1_000_000;
/// Bytes of all dead properties of one resource, in their stored form.
pub const PROPERTIES_BYTES: usize = 1024 * 1024;
/// Bytes of the dead properties of all collections of one account: all are in memory while it is
/// unlocked.
pub const ACCOUNT_PROPERTIES_BYTES: u64 = 32 * 1024 * 1024;
/// Locks of one account: each is held in memory while it is unlocked.
pub const LOCKS: usize = 1_000;
/// Shared locks of one resource and those above it: every PROPFIND of DAV:lockdiscovery tells of all of them.
pub const LOCKS_OF_RESOURCE: usize = 32;
/// Bytes of a lock's owner element, which is returned in every lockdiscovery.
pub const LOCK_OWNER_BYTES: usize = 4 * 1024;
/// Longest lock in seconds: a client that died frees its lock within the hour (RFC 4918 section 6.6).
pub const LOCK_SECONDS: u64 = 3_600;
/// Tombstones a collection keeps; older sync-tokens answer valid-sync-token (RFC 6578 section 3.8).
pub const TOMBSTONES: usize = 100_000;

// Trash and history

/// Default days for which what was deleted or overwritten can be restored.
pub const TRASH_DAYS: u32 = 30;
/// The most days that may be configured.
pub const TRASH_DAYS_MOST: u32 = 3_650;
/// Default for the past versions of one object that are kept.
pub const TRASH_VERSIONS: u32 = 10;
/// The most that may be configured: with usual names and UIDs they fit into one row; fewer are kept
/// where they do not.
pub const TRASH_VERSIONS_MOST: u32 = 100;
/// Deleted collections kept for one account; the oldest go when there are more, since a list of
/// them is in memory while it is unlocked.
pub const TRASHED_COLLECTIONS: usize = 1_000;
/// Default for the past versions that an account keeps, the newest: a device that spoils a large
/// calendar can be undone.
pub const TRASH_ITEMS: u64 = 20_000;
/// The least and the most that may be configured: what is kept is gone through in memory, 40 bytes each.
pub const TRASH_ITEMS_RANGE: (u64, u64) = (100, 1_000_000);
/// Default for the MiB of past versions and deleted collections that an account keeps.
pub const TRASH_MIB: u64 = 256;
/// The least and the most that may be configured: some of the largest objects, and 1 TiB.
pub const TRASH_MIB_RANGE: (u64, u64) = (32, 1024 * 1024);
/// Bytes that each of them counts beside its body: names of rows, seals, its part of a history.
pub const TRASH_ITEM_BYTES: u64 = 512;
/// Histories that are cut in one go while writers of the account wait; each is a small commit.
pub const HISTORY_STEP: usize = 200;
/// Entries of one list of trash, the newest.
pub const TRASH_LISTED: usize = 10_000;
/// Commits of an undo that are under way before it waits for the disk.
pub const UNDO_STEP: usize = 200;
/// Times that an undo looks at a collection again that changes meanwhile.
pub const UNDO_ATTEMPTS: usize = 4;
/// Lines in the report of an undo; the rest is counted.
pub const UNDO_TOLD: usize = 10_000;
/// Default for the days for which they are kept: as long as a device that is not used is remembered
/// (`DEVICE_DAYS`). One that comes back later lists the collection anew.
pub const TOMBSTONE_DAYS: u32 = 180;
/// The least that may be configured: a holiday without the device.
pub const TOMBSTONE_DAYS_LEAST: u32 = 30;
/// Tombstones that one step of forgetting drops, since writers of the account wait meanwhile.
pub const FORGET_TOMBSTONES: usize = 500;
/// Such steps in each minute.
pub const FORGET_STEPS: usize = 20;

// iCalendar

/// Nesting of components: VCALENDAR, VEVENT, VALARM is three; unknown ones may nest further.
pub const ICAL_DEPTH: usize = 16;
/// Bytes of one unfolded content line: an inline attachment is one line, and may be as large as
/// the largest object that can be configured. The configured size bounds the text beforehand.
pub const ICAL_LINE_BYTES: usize = OBJECT_BYTES_MOST;
/// Content lines of one object.
pub const ICAL_LINES: usize = 200_000;
/// Components of one object (overrides, alarms, zones).
pub const ICAL_COMPONENTS: usize = 20_000;
/// Parameters and parameter values of one object: two bytes of text make one of about 100 in memory.
pub const ICAL_PARAMETERS: usize = 500_000;
/// Instances expanded for one answer (the answer is refused above, never cut).
pub const INSTANCES_PER_ANSWER: usize = 10_000;
/// Bytes of iCalendar that all expanded instances of one answer may take: the text of an event stands
/// in each of its instances (HARDENING H6).
pub const EXPANDED_BYTES: usize = 16 * 1024 * 1024;
/// Instances of a plain event that are remembered beside it in memory, 24 bytes each.
pub const MOMENTS_REMEMBERED: usize = 16;
/// Periods of a recurrence rule looked at for one question about one object.
pub const RECURRENCE_STEPS: usize = 200_000;
/// Instances tried for all questions of one request about one object (its alarms ask each for itself).
pub const INSTANCES_TRIED: usize = 1_000_000;

// XML bodies

/// Bytes of an XML request body.
pub const XML_BYTES: usize = 1024 * 1024;
/// Nesting of elements.
pub const XML_DEPTH: usize = 64;
/// Events (start tags, texts, comments) of a body; end tags are not counted.
pub const XML_EVENTS: usize = 10_000;
/// Events of a calendar-multiget body: three for each href.
pub const XML_EVENTS_MULTIGET: usize = 4 * MULTIGET_HREFS;
/// Attributes of one element, namespace declarations included.
pub const XML_ATTRIBUTES: usize = 64;
/// Bytes of all expanded names of a body: a long namespace is copied into each element that uses it.
pub const XML_NAME_BYTES: usize = 4 * XML_BYTES;

// Requests and answers

/// Hrefs in one calendar-multiget.
pub const MULTIGET_HREFS: usize = 5_000;
/// Bytes of a buffered calendar-query answer, so that an overflow can still be a clean error.
pub const QUERY_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Results of one principal search.
pub const SEARCH_RESULTS: usize = 100;
/// Bytes of one step of a streamed answer.
pub const STREAM_STEP_BYTES: usize = 64 * 1024;
/// Bytes of one step of a streamed listing but the first, which is of the above: each is made by
/// another thread than sends it, and with steps half as long changing threads took a fifth of the time.
pub const LISTING_STEP_BYTES: usize = 2 * STREAM_STEP_BYTES;
/// Bytes of the first step of a multistatus that is not expected to have more, so that it is the only one: 50
/// events of 2 KB, as clients ask for them. It counts as a buffered answer (`ANSWER_BYTES_PER_ACCOUNT`).
pub const WHOLE_STEP_BYTES: usize = 3 * STREAM_STEP_BYTES;
/// Bytes of one DAV:response with a few short properties, roughly: room is made for so many at once.
pub const RESPONSE_BYTES: usize = 256;
/// Properties named in one PROPFIND or PROPPATCH.
pub const PROPERTIES_PER_REQUEST: usize = 500;
/// Bytes of the names in one PROPFIND or report: those that a resource lacks come back for each.
pub const PROPERTY_NAME_BYTES: usize = 64 * 1024;
/// Bytes of an If header; conditions and tokens are few in practice.
pub const IF_HEADER_BYTES: usize = 8 * 1024;
/// Byte ranges of one Range header; a request with more gets the whole (RFC 9110 section 14.2).
pub const RANGES: usize = 16;
/// Nesting of an expand-property report (RFC 3253 section 3.8).
pub const EXPAND_PROPERTY_DEPTH: usize = 4;
/// Bytes of an expand-property answer beyond which no further resource is told of: it is gathered
/// in memory, and a stored property may name the same resource many times.
pub const EXPAND_PROPERTY_BYTES: usize = 4 * 1024 * 1024;
/// Elements of a CALDAV:filter: each condition may have to look through a whole object.
pub const FILTER_ELEMENTS: usize = 200;

// Commit and cache

/// Commits waiting for the commit thread; a writer beyond it waits, which slows the sender.
pub const COMMIT_QUEUE: usize = 1_024;
/// Bytes of writes that one sync may gather: enough that large bodies do not pay for a sync each.
pub const COMMIT_BATCH_BYTES: usize = STORE_SEGMENT_BYTES / 2;
/// Bytes of commits waiting for the commit thread, beyond which a writer waits as well.
pub const COMMIT_QUEUE_BYTES: usize = 16 * COMMIT_BATCH_BYTES;
/// Bytes of small batches applied in one step: readers wait while the store applies.
pub const COMMIT_APPLY_BYTES: usize = 1024 * 1024;
/// Bytes of a stored value: a chunk and what sealing adds to it.
pub const ROW_BYTES: usize = CHUNK_BYTES + 1024;
/// Rows, and bytes of values, that one step of a scan holds.
pub const SCAN_STEP_ROWS: usize = 256;
/// See `SCAN_STEP_ROWS`.
pub const SCAN_STEP_BYTES: usize = 1024 * 1024;
/// A part of a copy of all rows (a pack of a backup) ends on average after so many rows.
pub const COPY_PART_ROWS: u16 = 128;
/// Bytes after which it ends in any case: one is in memory at a time.
pub const COPY_PART_BYTES: usize = 4 * 1024 * 1024;
/// Names of rows that changed while a copy is made, beyond which it begins again: 40 bytes each.
pub const COPY_CHANGED_NAMES: usize = 250_000;
/// Bytes of changed rows that a copy holds before it works them in.
pub const COPY_OVERLAY_BYTES: usize = 16 * 1024 * 1024;
/// Rows changed since the last look, up to which commits are held to read the rest.
pub const COPY_QUIET: usize = 64;
/// Looks after which they are held in any case.
pub const COPY_ROUNDS: u32 = 32;
/// Rows that are read while commits are held, at the most: a few milliseconds' worth.
pub const COPY_HELD_NAMES: usize = 4_096;
/// Times that a copy is begun before it is given up.
pub const COPY_PASSES: u32 = 4;
/// Bytes of sled's page cache. Up to 64 pages in each of its 16 shards are not counted yet.
pub const STORE_CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a segment of the database file: four rows of a leaf must not become a blob (FINDINGS).
pub const STORE_SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Default for the free bytes of the disk below which the administrator is warned.
pub const DISK_WARN_BYTES: u64 = 1024 * 1024 * 1024;
/// Default for the free bytes of the disk below which writes are refused: all that may be in memory
/// on its way (`COMMIT_QUEUE_BYTES`), a few segments of the database, and the audit trail fit.
pub const DISK_STOP_BYTES: u64 = 256 * 1024 * 1024;
/// Both are at most a part of the disk: the first one of so many, so that a small disk works.
pub const DISK_WARN_SHARE: u64 = 5;
/// The same for the second.
pub const DISK_STOP_SHARE: u64 = 10;
/// The most MiB that may be configured for either: 16 TiB.
pub const DISK_MARK_MIB_MOST: u64 = 16 * 1024 * 1024;
/// Seconds between two looks at the disk.
pub const DISK_SECONDS: u64 = 5;
/// Seconds after which a group of commits that is being written counts as stuck.
pub const COMMIT_STUCK_SECONDS: u64 = 30;
/// Milliseconds from one turn of sled's cleaner to the next; it moves rows for half of that at most
/// and then syncs the file.
pub const STORE_CLEAN_MILLIS: u64 = 200;
/// Bytes of the log after which its snapshot is written, while it runs: a start after a crash reads
/// about as many, 1.4 ms for each MB. Larger when the snapshot takes more than an eighth of it.
pub const STORE_REPLAY_BYTES: u64 = 64 * 1024 * 1024;
/// Seconds for a database to close, its cleaner included.
pub const STORE_CLOSE_SECONDS: u64 = 30;
/// Milliseconds for sled's threads to let go of a database that was closed in this process.
pub const STORE_LET_GO_MILLIS: u64 = 5_000;
/// Summaries held by all indexes together (about 500 bytes each).
pub const INDEX_SUMMARIES: usize = 500_000;
/// Bytes that one of them takes, estimated, for the metrics.
pub const INDEX_ENTRY_BYTES: usize = 500;
/// Unlocked accounts held at once.
pub const UNLOCKED_ACCOUNTS: usize = 1_000;
/// Default for the minutes without a request after which an account's keys are dropped.
pub const UNLOCKED_IDLE_MINUTES: u32 = 15;
/// The most of them that may be configured: a day.
pub const UNLOCKED_IDLE_MINUTES_MOST: u32 = 24 * 60;
/// Default for the hours after which an account's keys are dropped in any case.
pub const UNLOCKED_HOURS: u32 = 24;
/// The most of them that may be configured: a week.
pub const UNLOCKED_HOURS_MOST: u32 = 7 * 24;
/// Bytes that one step of a copied collection commits: other requests wait while a commit is applied.
pub const COPY_STEP_BYTES: usize = 512 * 1024;
/// Objects that one step of resealing looks at, while writers of the account wait.
pub const RESEAL_OBJECTS: usize = 512;
/// Steps of resealing before a command is told how far it got, and of an account in one
/// housekeeping: about a second, each having a sync.
pub const RESEAL_STEPS: usize = 50;
/// Epochs of a collection's key: one, and those that resealing did not get rid of.
pub const EPOCHS: usize = 16;
/// Former account keys whose pairs are kept, for the audit trail of their time: of a change a week
/// those of about two years.
pub const FORMER_KEYS: usize = 100;
/// Bytes of the disk that a compaction leaves free beside the new database.
pub const COMPACT_SPARE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a request's body up to which its place grows by doubling; then it has room for the rest.
pub const BODY_GROWTH_BYTES: usize = 1024 * 1024;
/// How often it is looked whether a thread of the database failed without telling: whoever waits
/// for it waits that much longer at most.
pub const STORE_ROUSE_MILLIS: u64 = 500;
/// How often it is looked whether the store failed and is to be opened again, and the first pause
/// after an attempt that did not succeed.
pub const STORE_MEND_MILLIS: u64 = 100;
/// The longest pause between two such attempts, each twice as long as the one before.
pub const STORE_MEND_MOST_MILLIS: u64 = 30_000;
/// How long a request waits for a store that is being opened again before it is refused.
pub const STORE_AWAIT_MILLIS: u64 = 2_000;
/// Rows removed by one step of a purge, so that writers are never kept waiting.
pub const PURGE_ROWS: usize = 1_000;

// Export and import

/// Bytes of one file that is imported: a whole calendar of many years with its attachments, which
/// is held in memory while it is taken apart. Bounds what a compressed entry may grow to as well.
pub const PORT_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Files of one import: those of the largest collection, and some beside it.
pub const PORT_FILES: usize = MEMBERS + 100_000;
/// Bytes of all entries of an archive when they are unpacked.
pub const PORT_ARCHIVE_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Times its packed size that an archive may unpack to: calendars pack to a tenth or a
/// twentieth, what packs to a thousandth was made to do harm.
pub const PORT_PACKING: u64 = 200;
/// Bytes up to which an archive may unpack to any multiple of its size.
pub const PORT_PACKED_FREELY_BYTES: u64 = 64 * 1024 * 1024;
/// Nesting of folders that are imported: the storage, its root, a user, a collection.
pub const PORT_FOLDERS_DEPTH: usize = 5;
/// Bytes of a file that says how a calendar is called: properties, in several encodings.
pub const PORT_PROPERTIES_BYTES: u64 = 64 * 1024 * 1024;
/// Objects in one step of an export or an import; a step of an import has one sync.
pub const PORT_STEP_OBJECTS: usize = 256;
/// Bytes of their bodies, beyond which a step takes no further object.
pub const PORT_STEP_BYTES: usize = 1024 * 1024;
/// Bytes of what is said about the objects of one step: names and properties.
pub const PORT_HEAD_BYTES: usize = 4 * PROPERTIES_BYTES + 4 * 1024 * 1024;
/// Bytes of the bodies of one step: a step, and the largest object that can be configured.
pub const PORT_BODY_BYTES: usize = PORT_STEP_BYTES + OBJECT_BYTES_MOST + OBJECT_EXCESS_BYTES;
/// Refusals of an import that are told one by one; the rest is counted.
pub const PORT_REFUSALS: usize = 10_000;

// Accounts

/// Bytes of a password; Argon2 takes any length, a request header does not.
pub const PASSWORD_BYTES: usize = 1_024;
/// Characters of a new password, unless --allow-weak.
pub const PASSWORD_CHARACTERS: usize = 10;
/// The least strength of a new password on zxcvbn's scale of 0 to 4, unless --allow-weak: 3 needs
/// 10^8 guesses or more, each of which costs an Argon2 run.
pub const PASSWORD_SCORE: u8 = 3;
/// Characters of a password that are looked at for its strength: it takes longer than their number.
pub const PASSWORD_SCORED_CHARACTERS: usize = 100;
/// Bytes of a key file: a hundred slots need a tenth of it.
pub const KEY_FILE_BYTES: u64 = 256 * 1024;
/// App passwords of one account.
pub const APP_PASSWORDS: usize = 100;
/// Calendars of one app password that has no more than chosen ones: the list of all stands in one row.
pub const GRANTED_CALENDARS: usize = 30;
/// Characters of an app password's label.
pub const LABEL_CHARACTERS: usize = 100;
/// Argon2 runs at once, 64 MiB each.
pub const ARGON2_RUNS: usize = 2;
/// Argon2id memory in KiB for a password slot.
pub const ARGON2_KIB: u32 = 64 * 1024;
/// The least Argon2id memory in KiB that may be configured (OWASP's floor, with two passes).
pub const ARGON2_KIB_LEAST: u32 = 19 * 1024;
/// The most Argon2id memory in KiB that may be configured, and that a key slot may ask for.
pub const ARGON2_KIB_MOST: u32 = 1024 * 1024;
/// The most passes over it.
pub const ARGON2_PASSES_MOST: u32 = 100;
/// Argon2id passes for a password slot.
pub const ARGON2_PASSES: u32 = 3;
/// Failed sign-ins allowed in a burst for one name.
pub const FAILURES_PER_NAME: u32 = 10;
/// Failed sign-ins allowed in a burst for one address (/64 for IPv6).
pub const FAILURES_PER_ADDRESS: u32 = 30;
/// Seconds after which one more failed sign-in is allowed, for a name and for an address.
pub const FAILURE_REFILL_SECONDS: u64 = 30;
/// Most seconds for which a name or an address is shut out, however often it failed; and for which
/// it is remembered that it was. Generated secrets are never shut out, so this locks nobody's
/// devices out.
pub const FAILURE_DELAY_SECONDS: u64 = 15 * 60;
/// Failed secrets remembered, so that a stale device counts once.
pub const FAILURES_REMEMBERED: usize = 10_000;
/// Seconds for which a failed secret is remembered.
pub const FAILURE_MEMORY_SECONDS: i64 = 10 * 60;

/// Seconds for which the deletion of an account goes on purging its rows before it leaves the rest
/// for later: less than a command waits for its answer.
pub const ERASE_PURGE_SECONDS: i64 = 10;

/// Bytes of a certificate of erasure that is to be checked.
pub const CERTIFICATE_OF_ERASURE_BYTES: u64 = 16 * 1024;

/// Minutes for which refused requests of a device are remembered for `sealdav doctor`.
pub const TROUBLE_MINUTES: i64 = 60;
/// Kinds of refusals to devices that are remembered, the latest.
pub const TROUBLES: usize = 1_000;
/// Of them, so many are told to `sealdav doctor`, the most frequent.
pub const TROUBLES_TOLD: usize = 100;
/// Refusals of one kind to one device within that time from which on they are told of: fewer happen
/// in daily use.
pub const TROUBLE_TIMES: u64 = 5;

// Audit trail

/// Entries of a page of the audit trail: the open page is sealed anew with every change.
pub const AUDIT_PAGE_ENTRIES: usize = 64;
/// Entries of a chain in one hour, beyond which they no longer say in which collection.
pub const AUDIT_HOUR_ENTRIES: usize = 512;
/// Entries of a page in such an hour, beyond which they no longer say by which device.
pub const AUDIT_PAGE_ENTRIES_MOST: usize = 128;
/// Hours by which an entry may be older than its page: what waited in memory is a minute late.
pub const AUDIT_LATE_HOURS: i64 = 1;
/// Different entries of one chain that wait in memory, beyond which they say less.
pub const AUDIT_PENDING: usize = 512;
/// Findings about the audit trail that are remembered.
pub const AUDIT_FINDINGS: usize = 100;
/// Bytes of the mirror of the audit trail: a line of 250 for each account.
pub const AUDIT_MIRROR_BYTES: u64 = 64 * 1024 * 1024;
/// Milliseconds between two writings of the mirror, at the least.
pub const AUDIT_MIRROR_MILLIS: u64 = 1_000;
/// Pages that one step of a cut removes, since writers of the account wait meanwhile.
pub const AUDIT_CUT_PAGES: u64 = 500;
/// Entries that `audit show` gives, the newest.
pub const AUDIT_SHOWN: usize = 20_000;
/// Pages in one answer to `audit export`.
pub const AUDIT_EXPORT_PAGES: usize = 500;
/// Default days for which the audit trail is kept.
pub const AUDIT_DAYS: u32 = 180;
/// Default days after which a device that was not used is forgotten.
pub const DEVICE_DAYS: u32 = 180;
/// The most days that may be configured for these.
pub const AUDIT_DAYS_MOST: u32 = 36_500;
/// Seconds between two writings of when a device was last used.
pub const DEVICE_FLUSH_SECONDS: i64 = 60 * 60;

// Checks of everything that is stored

/// Times that what must be seen at one moment is read, until nothing changes meanwhile.
pub const VERIFY_ATTEMPTS: usize = 8;
/// Rows between two tellings of how far a check got, and `VERIFY_PROGRESS_BYTES`.
pub const VERIFY_PROGRESS_ROWS: u64 = 1_000;
/// See `VERIFY_PROGRESS_ROWS`.
pub const VERIFY_PROGRESS_BYTES: u64 = 4 * 1024 * 1024;
/// Milliseconds between two tellings of it to a person.
pub const VERIFY_PROGRESS_MILLIS: u64 = 200;
/// Groups of rows that belong to nothing, beyond which they are not counted.
pub const VERIFY_PREFIXES: usize = 100_000;
/// Rows of one kind in a collection that belong to no object, beyond which they are not counted.
pub const VERIFY_STRAYS: usize = 10_000;

// Backups

/// Default hours between two backups.
pub const BACKUP_HOURS: u32 = 24;
/// The most hours and days that may be configured there: ten years, more or less.
pub const BACKUP_MOST: u32 = 100_000;
/// Default days, weeks and months of which the newest backup is kept.
pub const BACKUP_KEEP: (u32, u32, u32) = (7, 4, 12);
/// Default days after which a backup of the key files is deleted.
pub const BACKUP_KEY_DAYS: u32 = 30;
/// Minutes after which a backup that failed is tried again.
pub const BACKUP_RETRY_MINUTES: i64 = 15;
/// Seconds after a start at which the first look is taken at what is due.
pub const BACKUP_FIRST_SECONDS: u64 = 10;
/// Milliseconds between two looks of the command at how far a backup has got.
pub const BACKUP_LOOK_MILLIS: u64 = 200;
/// Bytes of a manifest: a line of 100 for some 100 rows.
pub const BACKUP_MANIFEST_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of a pack: the bound of a part with its last row.
pub const BACKUP_PACK_BYTES: u64 = (COPY_PART_BYTES + ROW_BYTES) as u64 + 64 * 1024;
/// Bytes of a backup of all key files.
pub const BACKUP_KEYS_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes by which a database may exceed its rows before compaction is advised, and how many times
/// as large as they it then is.
pub const WASTE_BYTES: u64 = 256 * 1024 * 1024;
/// See `WASTE_BYTES`: what a database that is used has anyway (FINDINGS).
pub const WASTE_FACTOR: u64 = 4;
/// Hours after which the rows are counted again to know it.
pub const WASTE_HOURS: i64 = 24;

// Connections

/// Connections at once.
pub const CONNECTIONS: usize = 2_048;
/// Connections of one address (/64 for IPv6) at once, proxies and this machine excepted: an office
/// behind one address, but not one machine alone, may have them.
pub const CONNECTIONS_PER_ADDRESS: usize = 256;
/// Bytes of all request bodies being received at once.
pub const BODY_BYTES_IN_FLIGHT: usize = 256 * 1024 * 1024;
/// Bytes of them that one account may have: a quarter, and the largest object with its excess fits.
pub const BODY_BYTES_PER_ACCOUNT: usize = BODY_BYTES_IN_FLIGHT / 4 + OBJECT_EXCESS_BYTES;
/// Seconds for a TLS handshake.
pub const TLS_HANDSHAKE_SECONDS: u64 = 10;
/// Seconds for the head of a request.
pub const HEADER_SECONDS: u64 = 30;
/// Seconds for a whole request body, once its head is there.
pub const BODY_SECONDS: u64 = 120;
/// Bytes of buffered answers (large objects, calendar-query) that clients have not taken yet.
pub const ANSWER_BYTES_IN_FLIGHT: usize = 256 * 1024 * 1024;
/// Bytes of them that one account may have: the largest answer fits, and another half of it.
pub const ANSWER_BYTES_PER_ACCOUNT: usize = QUERY_ANSWER_BYTES + QUERY_ANSWER_BYTES / 2;
/// Bytes a second that a client must take of an answer after its first `IDLE_SECONDS`: a tenth of
/// what the slowest mobile network gives.
pub const ANSWER_BYTES_PER_SECOND: u64 = 4 * 1024;
/// Seconds without a byte, in a body or an answer, after which the connection is closed.
pub const IDLE_SECONDS: u64 = 75;
/// Bytes of a request's head on HTTP/1.
pub const HEADER_BYTES: usize = 64 * 1024;
/// Headers of a request.
pub const HEADERS: usize = 100;
/// HTTP/2 streams of one connection.
pub const H2_STREAMS: u32 = 64;
/// HTTP/2 streams a client may reset before its connection is ended (CVE-2023-44487).
pub const H2_RESETS: usize = 32;
/// Threads that work on requests.
pub const WORK_THREADS: usize = 16;
/// Workers of the runtime that are left for connections when all others answer on the spot; so many
/// are started beyond the cores. One does, since it never waits itself.
pub const SPARE_WORKERS: usize = 1;
/// Milliseconds between two looks whether an answer on the spot takes long: it takes a hundredth of
/// that, and a look costs some microseconds.
pub const SPOT_LOOK_MILLIS: u64 = 2;
/// Such looks without any answer on the spot, after which nobody looks until there is one.
pub const SPOT_QUIET_LOOKS: u32 = 50;
/// Turns of writers on the spot, shared by all accounts: more than are planned at once.
pub const SPOT_TURNS: usize = 64;
/// Milliseconds for which a turn is waited for; each takes some tens of microseconds.
pub const SPOT_TURN_MILLIS: u64 = 50;
/// Bytes of the body of a request that is answered on the spot: what is asked for is then bounded too.
pub const QUICK_BODY_BYTES: usize = 4 * 1024;
/// Bytes of the objects whose bodies such an answer holds.
pub const QUICK_OBJECT_BYTES: u64 = STREAM_STEP_BYTES as u64;
/// Resources of which such an answer tells, and collections of its account: some answers look at all.
pub const QUICK_RESOURCES: usize = 64;
/// Objects whose bodies it holds: each is a row to read.
pub const QUICK_BODIES: usize = 8;
/// Lines with rules or lists of dates in an object that is put on the spot, its VTIMEZONEs included:
/// each may take milliseconds.
pub const QUICK_RULES: usize = 12;
/// Bytes of a question (a PROPFIND's body) that is remembered; those of clients have up to 2,000.
pub const POLL_BYTES: usize = 4 * 1024;
/// Bytes of one as a tree: forty properties take 8,000.
pub const POLL_TREE_BYTES: usize = 32 * 1024;
/// Questions that are remembered: each client has a handful.
pub const POLLS: usize = 128;
/// Streamed answers that compute a step at once; fewer than `WORK_THREADS`, so that a GET always finds one.
pub const STREAM_STEPS: usize = 8;
/// Seconds that running requests get at a shutdown.
pub const SHUTDOWN_SECONDS: u64 = 10;
/// Sign-ins checked at once that need an Argon2 run, for which each holds a thread.
pub const SIGN_INS: usize = 8;
/// Such sign-ins that wait for their turn; more are refused, since they would wait for a minute.
pub const SIGN_IN_QUEUE: usize = 256;
/// Bytes of an unwanted body that are read and dropped so that its connection can live on.
pub const DISCARDED_BYTES: usize = 64 * 1024;
/// Seconds for which a closed connection is still read, so that the client sees the answer before the reset.
pub const LINGER_SECONDS: u64 = 2;
/// Bytes that are read and dropped then.
pub const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that a client may have under way on HTTP/2 before they are asked for.
pub const H2_WINDOW_BYTES: u32 = 256 * 1024;
/// Addresses of a forwarding header that are looked at, from the right.
pub const FORWARDED_HOPS: usize = 16;
/// Readers of the metrics at once.
pub const METRICS_CONNECTIONS: usize = 8;
/// Seconds for one reader of the metrics, from its connection on.
pub const METRICS_SECONDS: u64 = 60;
/// Administration commands answered at once over the local socket.
pub const ADMIN_CONNECTIONS: usize = 8;
/// Bytes of one line on the local socket.
pub const ADMIN_LINE_BYTES: usize = 64 * 1024;
/// Seconds without a byte on the local socket.
pub const ADMIN_SECONDS: u64 = 30;
/// Seconds after which a command that is still at work tells how far it is: several times within
/// `ADMIN_SECONDS`.
pub const ADMIN_TELL_SECONDS: u64 = 5;
/// Seconds that a server waits at its start for a command that has the store.
pub const SERVE_START_SECONDS: u64 = 5;
/// Seconds that a command waits for a server that is starting or stopping.
pub const ADMIN_START_SECONDS: u64 = 10;
/// Days a certificate of the own authority is valid; Apple's devices take at most 825.
pub const CERTIFICATE_DAYS: u64 = 800;
/// Days before its end at which it is renewed.
pub const CERTIFICATE_RENEWAL_DAYS: u64 = 60;
/// Days before the end of a certificate at which `sealdav doctor` warns: what renews one by ACME
/// does so a month before.
pub const CERTIFICATE_WARNING_DAYS: i64 = 14;
/// Days the own certificate authority is valid: it is installed by hand on every device.
pub const AUTHORITY_DAYS: u64 = 20 * 365;
