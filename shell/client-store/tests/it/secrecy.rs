//! Nothing readable lies in the profile folder, at no time.

use halcyon_crypto::SecretBytes;

use crate::{
    diary::{self, CHEAP},
    sim_disk::SimDisk,
};

/// Parts of what is stored, of the schema, and of SQLite's own formats.
const GIVEAWAYS: [&[u8]; 8] = [
    b"dear diary",
    b"lighthouse",
    b"waves waves",
    b"CREATE",
    b"scratch",
    b"SQLite format",
    b"correct horse",
    // SQLite's log magic and version.
    &[0x37, 0x7f, 0x06, 0x82, 0x00, 0x2d, 0xe2, 0x18],
];

fn assert_unreadable(bytes: &[u8], where_: &str) {
    for giveaway in GIVEAWAYS {
        let found = bytes.windows(giveaway.len()).any(|window| window == giveaway);
        assert!(!found, "{:?} is readable in {where_}", String::from_utf8_lossy(giveaway));
    }
}

/// No byte that is ever handed to the disk, in whatever file, gives anything away.
#[test]
fn nothing_readable_is_ever_written() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    for day in 0..30 {
        diary.write(day).unwrap();
    }
    // What SQLite keeps temporary files for elsewhere.
    diary.db.execute_batch("CREATE TABLE copy AS SELECT * FROM pages, scratch ORDER BY scratch.text").unwrap();
    diary
        .db
        .execute_batch("CREATE INDEX sorted ON copy (text); VACUUM; INSERT INTO words(words) VALUES ('optimize')")
        .unwrap();
    assert_eq!(diary.read().unwrap(), 30);
    diary.db.change_passphrase(&diary::passphrase(), &SecretBytes::copy_of(b"staple"), diary::rng(3).as_mut()).unwrap();
    drop(diary);

    let written = disk.written();
    assert!(written.len() > 1_000_000, "too little was written to mean much: {} bytes", written.len());
    assert_unreadable(&written, "what was written");
    let known = ["device-secret", "profile.key", "store.db"];
    assert_eq!(disk.files(), known, "no other file is left behind");
}

/// The real folder, while the database is open and after.
#[test]
fn nothing_readable_lies_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let profile = halcyon_client_store::Profile::at(folder.path(), CHEAP).unwrap();
    let look = || {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert_unreadable(&std::fs::read(entry.path()).unwrap(), &name);
            assert_owner_only(&entry.path());
            names.push(name);
        }
        names.sort();
        names
    };
    let db = profile.create(&diary::passphrase(), diary::rng(1)).unwrap();
    db.execute_batch("CREATE TABLE scratch (text); CREATE VIRTUAL TABLE words USING fts5(text)").unwrap();
    for day in 0..20 {
        db.execute("INSERT INTO scratch VALUES (?1)", [diary::text(day)]).unwrap();
        db.execute("INSERT INTO words VALUES (?1)", [diary::text(day)]).unwrap();
    }
    assert_eq!(look(), ["device-secret", "profile.key", "profile.lock", "store.db", "store.db-log"]);
    drop(db);
    assert_eq!(look(), ["device-secret", "profile.key", "profile.lock", "store.db"]);
}

#[cfg(unix)]
fn assert_owner_only(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{path:?}");
}

#[cfg(not(unix))]
fn assert_owner_only(_path: &std::path::Path) {}

/// The same page written twice looks like two pages: nobody sees what changed back.
#[test]
fn equal_pages_are_sealed_differently() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.write(0).unwrap();
    diary.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let before = disk.content("store.db");
    diary
        .db
        .execute_batch("UPDATE scratch SET text = text || 'x'; UPDATE scratch SET text = rtrim(text, 'x')")
        .unwrap();
    diary.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let after = disk.content("store.db");
    let pages = |file: &[u8]| file.chunks(4096).map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert!(pages(&before).iter().zip(pages(&after)).any(|(a, b)| *a != b));
}
