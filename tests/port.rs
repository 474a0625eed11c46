//! `sealdav export` and `sealdav import` with real folders and archives, with a server and without.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{Client, PASSWORD, Server};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

fn event(uid: &str, more: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260102T100000Z\r\n{more}END:VEVENT\r\n"
    )
}

fn calendar(inner: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n{inner}END:VCALENDAR\r\n")
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The entries of an archive.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut archive = ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        found.insert(entry.name().unwrap().into_owned(), text);
    }
    found
}

/// Whether it ended well, and what it printed.
fn run(server: &Server, arguments: &[&str]) -> (bool, String) {
    let arguments = [arguments, &["--password-stdin"][..]].concat();
    let output = server.command(&arguments, PASSWORD);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

fn import(server: &Server, user: &str, path: &Path, more: &[&str]) -> (bool, String) {
    let path = path.to_str().unwrap();
    run(server, &[&["import", user, path][..], more].concat())
}

fn export(server: &Server, user: &str, name: &str) -> BTreeMap<String, String> {
    let path = server.beside(name);
    let to = path.to_str().unwrap();
    let (done, said) = run(server, &["export", user, "--to", to, "--merged"]);
    assert!(done, "{said}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    unpacked(&path)
}

/// A vdir with a broken object, a file of many objects, and a Radicale storage.
fn folders(root: &Path) {
    let odd = "X-ODD;Y=\"a:b\":1\r\nDESCRIPTION:a long\r\n  line\r\n";
    write(root, "vdir/Work/displayname", "Work & more\n");
    write(root, "vdir/Work/color", "#ff0000");
    write(root, "vdir/Work/a.ics", &calendar(&event("a", odd)));
    write(
        root,
        "vdir/Work/Ä b.ics",
        &calendar(&event("b", "")).replace("\r\n", "\n"),
    );
    write(
        root,
        "vdir/Work/broken.ics",
        &calendar(&event("c", "DTEND:soon\r\n")),
    );
    write(root, "vdir/Work/.hidden.ics", "hidden");
    symlink("/etc/hostname", root.join("vdir/Work/link.ics")).unwrap();
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Z\r\nEND:VTIMEZONE\r\n";
    let many: String = [
        zone.to_owned(),
        event("m1", "RRULE:FREQ=DAILY\r\n"),
        event("m2", "DTEND;TZID=Z:20260102T110000\r\n"),
        event("m1", "RECURRENCE-ID:20260103T100000Z\r\n"),
        event("m3", "RRULE:FREQ=NEVER\r\n"),
    ]
    .concat();
    write(
        root,
        "Big.ics",
        &calendar(&format!(
            "METHOD:PUBLISH\r\nX-WR-CALNAME:The big one\r\n{many}"
        )),
    );
    let storage = "radicale/collection-root/alice/0a1b";
    let props = r##"{"tag": "VCALENDAR", "D:displayname": "Tasks & all", "ICAL:calendar-color": "#00ff00ff",
        "C:supported-calendar-component-set": "VEVENT,VTODO,VJOURNAL"}"##;
    write(root, &format!("{storage}/.Radicale.props"), props);
    write(root, &format!("{storage}/.Radicale.cache/item/x"), "cache");
    write(
        root,
        &format!("{storage}/t.ics"),
        &calendar("BEGIN:VTODO\r\nUID:t\r\nEND:VTODO\r\n"),
    );
    write(
        root,
        "radicale/collection-root/alice/book/.Radicale.props",
        r#"{"tag": "VADDRESSBOOK"}"#,
    );
}

#[test]
fn what_was_imported_comes_back_byte_for_byte() {
    let mut server = Server::new();
    server.add_user("alice");
    server.add_user("bob");
    let root = server.beside("in");
    folders(&root);

    let (done, said) = import(&server, "alice", &root.join("vdir"), &["--dry-run"]);
    assert!(!done && said.contains("2 stored"), "{said}");
    let (done, said) = import(&server, "alice", &root.join("vdir"), &[]);
    assert!(!done, "{said}");
    for part in [
        "broken.ics, line 8, UID c: DTEND is neither a date nor a date-time",
        "link.ics: links are not followed",
        "New calendars: Work",
        "2 stored, 0 replaced, 0 there already, 0 skipped, 2 refused",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, said) = import(&server, "alice", &root.join("vdir"), &[]);
    assert!(
        said.contains("0 stored, 0 replaced, 2 there already"),
        "{said}"
    );

    let (done, said) = import(&server, "alice", &root.join("Big.ics"), &["--json"]);
    let json: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert!(!done && json["stored"] == 2, "{said}");
    // the line of the file, not that of the object that was taken out of it
    let refused = &json["refused"][0];
    assert_eq!(
        (refused["uid"].as_str(), refused["line"].as_u64()),
        (Some("m3"), Some(31))
    );
    assert_eq!(refused["sentence"], "RRULE is not a recurrence rule");

    server.start(&["--plain-http"]);
    let (done, said) = import(&server, "alice", &root.join("radicale"), &[]);
    assert!(
        !done && said.contains("1 stored") && said.contains("address book"),
        "{said}"
    );
    let running = export(&server, "alice", "running.zip");
    server.stop();
    let alice = export(&server, "alice", "alice.zip");
    let but_manifest = |mut entries: BTreeMap<String, String>| {
        entries.remove("sealdav-export.json").expect("it is ours");
        entries
    };
    let alice = but_manifest(alice);
    assert_eq!(but_manifest(running), alice);
    assert_eq!(
        alice["Work/a.ics"],
        fs::read_to_string(root.join("vdir/Work/a.ics")).unwrap()
    );
    assert_eq!(
        alice["Work/Ä b.ics"],
        fs::read_to_string(root.join("vdir/Work/Ä b.ics")).unwrap()
    );
    let m2 = &alice["Big/m2.ics"];
    assert!(
        m2.contains("TZID:Z") && !m2.contains("METHOD") && !m2.contains("m1"),
        "{m2}"
    );
    assert_eq!(alice["Big/m1.ics"].matches("BEGIN:VEVENT").count(), 2);
    let merged = &alice["Big/calendar.ics"];
    assert!(merged.contains("X-WR-CALNAME:The big one") && merged.matches("TZID:Z\r").count() == 1);
    let said: serde_json::Value = serde_json::from_str(&alice["0a1b/collection.json"]).unwrap();
    assert_eq!(said["display_name"], "Tasks & all");
    assert_eq!(said["color"], "#00ff00ff");
    assert_eq!(
        said["kind"]["calendar"],
        serde_json::json!(["VEVENT", "VTODO", "VJOURNAL"])
    );

    // the whole of it into another account, through the server, and out again
    server.start(&["--plain-http"]);
    let (done, said) = import(&server, "bob", &server.beside("alice.zip"), &[]);
    assert!(done && said.contains("5 stored"), "{said}");
    let (done, said) = import(&server, "bob", &server.beside("alice.zip"), &[]);
    assert!(
        done && said.contains("0 stored, 0 replaced, 5 there already"),
        "{said}"
    );
    assert_eq!(but_manifest(export(&server, "bob", "bob.zip")), alice);
    server.stop();

    let (_, trail) = run(&server, &["audit", "show", "alice"]);
    assert!(trail.contains("\texport\t"), "{trail}");
    let again = server.beside("alice.zip");
    let (done, said) = run(
        &server,
        &["export", "alice", "--to", again.to_str().unwrap()],
    );
    assert!(
        !done && said.contains("exists"),
        "an archive is not overwritten: {said}"
    );
}

#[test]
fn different_objects_are_refused_replaced_or_skipped() {
    let server = Server::new();
    server.add_user("alice");
    let root = server.beside("in");
    write(&root, "one.ics", &calendar(&event("1", "SUMMARY:old\r\n")));
    let into = |more: &[&str]| {
        let more = [&["--into", "calendar"][..], more].concat();
        import(&server, "alice", &root.join("one.ics"), &more)
    };
    assert!(into(&[]).0);
    write(&root, "one.ics", &calendar(&event("1", "SUMMARY:new\r\n")));
    let (done, said) = into(&[]);
    assert!(
        !done && said.contains("UID 1: another object with this UID is there"),
        "{said}"
    );
    let (done, said) = into(&["--skip"]);
    assert!(done && said.contains("1 skipped, 0 refused"), "{said}");
    let (done, said) = into(&["--replace", "--dry-run"]);
    assert!(done && said.contains("1 replaced"), "{said}");
    assert!(export(&server, "alice", "1.zip")["calendar/1.ics"].contains("old"));
    assert!(into(&["--replace"]).0);
    assert!(export(&server, "alice", "2.zip")["calendar/1.ics"].contains("new"));
    let (done, said) = run(&server, &["import", "alice", "/dev/null"]);
    assert!(!done && said.contains("it is no folder"), "{said}");
}

#[test]
fn archives_made_to_do_harm_are_refused() {
    let server = Server::new();
    server.add_user("alice");
    let made = |name: &str, fill: &dyn Fn(&mut ZipWriter<fs::File>)| {
        let path = server.beside(name);
        let mut zip = ZipWriter::new(fs::File::create(&path).unwrap());
        fill(&mut zip);
        zip.finish().unwrap();
        path
    };
    let options = SimpleFileOptions::default();
    let odd = made("odd.zip", &|zip| {
        for name in ["../up.ics", "in/../../up.ics", "/root.ics", "in/good.ics"] {
            zip.start_file(name, options).unwrap();
            zip.write_all(calendar(&event(name, "")).as_bytes())
                .unwrap();
        }
        zip.add_symlink("in/link.ics", "/etc/hostname", options)
            .unwrap();
    });
    let (done, said) = import(&server, "alice", &odd, &[]);
    assert!(!done && said.contains("1 stored"), "{said}");
    assert!(said.contains("leads out of the archive"), "{said}");
    assert!(said.contains("link.ics: links are not followed"), "{said}");
    let bomb = made("bomb.zip", &|zip| {
        zip.start_file("bomb.ics", options).unwrap();
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..100 {
            zip.write_all(&zeros).unwrap();
        }
    });
    let (done, said) = import(&server, "alice", &bomb, &[]);
    assert!(!done && said.contains("are refused"), "{said}");
    fs::write(server.beside("none.zip"), "PK").unwrap();
    assert!(!import(&server, "alice", &server.beside("none.zip"), &[]).0);
}

#[test]
fn an_export_with_history_has_what_was_overwritten_and_deleted() {
    let (mut server, mut client) = Server::with_user("alice");
    let home = "/dav/calendars/alice/";
    let body = |uid: &str, text: &str| calendar(&event(uid, &format!("SUMMARY:{text}\r\n")));
    let put = |client: &mut Client, path: &str, uid: &str, text: &str| {
        let ics = [("Content-Type", "text/calendar")];
        let target = format!("{home}{path}");
        let answer = client.ask("PUT", &target, &ics, body(uid, text).as_bytes());
        assert!(answer.status < 300, "{}", answer.status);
    };
    for text in ["one", "two", "three"] {
        put(&mut client, "calendar/a.ics", "a", text);
    }
    put(&mut client, "calendar/b.ics", "b", "gone");
    put(&mut client, "calendar/c.ics", "c", "kept");
    let made = client.ask("MKCALENDAR", &format!("{home}old"), &[], b"");
    assert_eq!(made.status, 201);
    put(&mut client, "old/d.ics", "d", "before");
    put(&mut client, "old/d.ics", "d", "after");
    put(&mut client, "old/e.ics", "e", "deleted first");
    for path in ["calendar/b.ics", "old/e.ics", "old"] {
        let gone = client.ask("DELETE", &format!("{home}{path}"), &[], b"");
        assert_eq!(gone.status, 204, "{path}");
    }
    let export = |server: &Server, name: &str, more: &[&str]| {
        let path = server.beside(name);
        let to = path.to_str().unwrap();
        let (done, said) = run(server, &[&["export", "alice", "--to", to], more].concat());
        assert!(done, "{said}");
        (unpacked(&path), said)
    };
    let (all, said) = export(&server, "all.zip", &["--history"]);
    assert!(
        said.contains("3 earlier versions, 2 deleted objects, 1 deleted calendars"),
        "{said}"
    );
    let of = |folder: &str| -> Vec<&String> {
        let inside = all.iter().filter(|(name, _)| name.starts_with(folder));
        inside
            .filter(|(name, _)| name.ends_with(".ics"))
            .map(|(_, text)| text)
            .collect()
    };
    let mut versions = of("history/calendar/a.ics/");
    versions.sort();
    assert_eq!(versions, [&body("a", "one"), &body("a", "two")]);
    assert_eq!(of("history/").len(), 2);
    assert_eq!(of("trash/objects/calendar/b.ics/"), [&body("b", "gone")]);
    assert_eq!(all["trash/calendars/old/d.ics"], body("d", "after"));
    assert_eq!(
        of("trash/calendars/old/history/d.ics/"),
        [&body("d", "before")]
    );
    assert_eq!(
        of("trash/calendars/old/deleted/e.ics/"),
        [&body("e", "deleted first")]
    );
    let told: serde_json::Value =
        serde_json::from_str(&all["history/calendar/versions.json"]).unwrap();
    let first = &told[0];
    let file = format!("history/calendar/{}", first["file"].as_str().unwrap());
    assert_eq!(all[&file], body("a", "two"), "the newest first");
    assert_eq!(first["was"], "overwritten");
    let told: serde_json::Value =
        serde_json::from_str(&all["trash/calendars/old/collection.json"]).unwrap();
    assert_eq!(told["path"], serde_json::json!(["old"]));
    assert!(told["deleted"].as_i64() > Some(1_600_000_000_000));
    // Nothing of it is there without the flag, and what is there is the same.
    let (plain, _) = export(&server, "plain.zip", &[]);
    let but_manifest = |name: &&String| *name != "sealdav-export.json";
    let is_past = |name: &String| name.starts_with("history/") || name.starts_with("trash/");
    let live: Vec<_> = all.keys().filter(|name| !is_past(name)).collect();
    assert_eq!(live, plain.keys().collect::<Vec<_>>());
    for name in plain.keys().filter(but_manifest) {
        assert_eq!(plain[name], all[name]);
    }
    // An import takes what was there and nothing else; without a server the archive is the same.
    server.add_user("bob");
    let (done, said) = import(&server, "bob", &server.beside("all.zip"), &[]);
    assert!(
        done && said.contains("2 stored") && said.contains("0 refused"),
        "{said}"
    );
    server.stop();
    let (again, _) = export(&server, "again.zip", &["--history"]);
    assert_eq!(
        again.keys().collect::<Vec<_>>(),
        all.keys().collect::<Vec<_>>()
    );
}
