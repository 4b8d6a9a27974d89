//! A profile folder that somebody else wrote to: the client's encrypted database and the files beside it.
//!
//! Owns a disk in memory and the image of a folder as a killed process leaves it: pages in the database, later
//! transactions in the log. The bytes change the image; then the profile is opened, read, written and opened again.
//!
//! - What is read is what was written, up to some moment: never something else (STO-1).
//! - A changed `profile.key` or device secret opens nothing.
//! - Damage is said to be damage, and nothing panics.

mod disk;

use std::sync::{Arc, LazyLock};

use halcyon_client_store::{
    DATABASE_FILE, DEVICE_SECRET_FILE, DatabaseError, EncryptedDb, FileDeviceSecret, KEY_FILE, KeyFileError, Profile,
    ProfileError,
};
use halcyon_crypto::{SecretBytes, hash, password::PasswordParams};
use rusqlite::params;

use self::disk::{Image, MemoryDisk};
use crate::{
    input::{Input, piece},
    people::rng,
};

/// The write-ahead log's name.
const LOG_FILE: &str = "store.db-log";
const FILES: [&str; 4] = [DATABASE_FILE, LOG_FILE, KEY_FILE, DEVICE_SECRET_FILE];
/// Bytes of a page, and what a frame of the log and its head take.
const PAGE_BYTES: usize = 4096;
const FRAME_BYTES: usize = 4120;
const LOG_HEAD_BYTES: usize = 128;
/// Where `profile.key` says how much work a guess is, and where its digest begins.
const KEY_PARAMS: std::ops::Range<usize> = 9..17;
const KEY_DIGEST_BYTES: usize = 32;
/// Changes to one image.
const CHANGES_MAX: usize = 6;

/// Days in the database, and how many of them the database file has without its log.
const DAYS: i64 = 6;
const CHECKPOINTED: i64 = 3;

/// Changes the image as the bytes say, and opens it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let writes_on = input.choice(2) == 1;
    let mut image = WRITTEN.clone();
    let mut changes = Vec::new();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        changes.push(change(&mut image, &mut input));
    }
    let disk = MemoryDisk::of(&image);
    let days = match open(&disk, 2) {
        Ok(db) => read(&db).map(|days| (db, days)),
        Err(error) => {
            check_refusal(&error, &image);
            return;
        }
    };
    assert_eq!(image.get(KEY_FILE), WRITTEN.get(KEY_FILE), "a changed key file opened");
    assert_eq!(image.get(DEVICE_SECRET_FILE), WRITTEN.get(DEVICE_SECRET_FILE), "another device secret opened");
    let (db, days) = match days {
        Ok(read) => read,
        Err(error) => {
            assert!(matches!(error, DatabaseError::Damaged(_)), "damage shows as {error:?}");
            assert_ne!(image, *WRITTEN, "the untouched store is whole");
            return;
        }
    };
    assert!((CHECKPOINTED..=DAYS).contains(&days), "{days} days");
    match changes[..] {
        _ if image == *WRITTEN => assert_eq!(days, DAYS, "the untouched store is whole"),
        [Change::Bit] => assert!(days >= DAYS - 1, "one bit costs at most what a power cut costs"),
        _ => {}
    }
    if writes_on {
        write_on(db, days, &disk);
    }
}

/// A store that opened is one to go on with.
fn write_on(db: EncryptedDb, days: i64, disk: &MemoryDisk) {
    match write(&db, days).map_err(DatabaseError::from) {
        Ok(()) => {}
        Err(DatabaseError::Damaged(_)) => return,
        Err(error) => panic!("a store that opened cannot be written: {error:?}"),
    }
    drop(db);
    let again = open(disk, 3).unwrap_or_else(|error| panic!("a store does not open after it was written: {error:?}"));
    match read(&again) {
        Ok(found) => assert_eq!(found, days + 1, "what was committed is there"),
        // A page that nobody read before.
        Err(error) => assert!(matches!(error, DatabaseError::Damaged(_)), "damage shows as {error:?}"),
    }
}

fn check_refusal(error: &ProfileError, image: &Image) {
    assert_ne!(image, &*WRITTEN, "the untouched store opens");
    let is_there = |name| image.contains_key(name);
    let fits = match error {
        ProfileError::Missing => !is_there(KEY_FILE) && !is_there(DATABASE_FILE),
        ProfileError::KeyFileMissing => !is_there(KEY_FILE),
        ProfileError::DeviceSecretMissing => !is_there(DEVICE_SECRET_FILE),
        ProfileError::DatabaseMissing => !is_there(DATABASE_FILE),
        ProfileError::Key(
            KeyFileError::WrongPassphrase | KeyFileError::ForeignDeviceSecret | KeyFileError::Damaged,
        ) => true,
        ProfileError::Key(KeyFileError::Newer(version)) => *version > 1,
        ProfileError::Key(KeyFileError::Weakened) => true,
        ProfileError::DeviceSecret(_) => image.get(DEVICE_SECRET_FILE) != WRITTEN.get(DEVICE_SECRET_FILE),
        ProfileError::DatabaseForeign | ProfileError::Database(DatabaseError::Damaged(_)) => true,
        _ => false,
    };
    assert!(fits, "damage shows as {error:?}");
}

/// What was done to an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Bit,
    More,
}

fn change(image: &mut Image, input: &mut Input<'_>) -> Change {
    let name = FILES[input.choice(FILES.len())];
    let kind = input.choice(8);
    let at = usize::from(input.u16()) << (input.byte() % 3);
    if kind == 7 {
        image.remove(name);
        return Change::More;
    }
    let bytes = image.entry(name.to_owned()).or_default();
    let at = if bytes.is_empty() { 0 } else { at % bytes.len() };
    match kind {
        0 => {
            let bit = input.byte() % 8;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            return Change::Bit;
        }
        1 => {
            let with = input.piece();
            let end = bytes.len().min(at + with.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        2 => bytes.truncate(at),
        3 => bytes.extend_from_slice(input.piece()),
        4 => drop(bytes.splice(at..at, input.piece().to_vec())),
        5 => move_unit(bytes, name, input),
        _ => seal_key_file(image),
    }
    Change::More
}

/// A page or frame takes the place of another.
fn move_unit(bytes: &mut [u8], name: &str, input: &mut Input<'_>) {
    let (head, unit) = if name == LOG_FILE { (LOG_HEAD_BYTES, FRAME_BYTES) } else { (0, PAGE_BYTES) };
    let units = bytes.len().saturating_sub(head) / unit;
    if units > 0 {
        let (from, to) = (head + input.choice(units) * unit, head + input.choice(units) * unit);
        bytes.copy_within(from..from + unit, to);
    }
}

/// Mends the digest of `profile.key`, as whoever writes such files on purpose would. What would make opening it the work
/// of minutes is put back first.
fn seal_key_file(image: &mut Image) {
    let Some(file) = image.get_mut(KEY_FILE) else { return };
    let Some(end) = file.len().checked_sub(KEY_DIGEST_BYTES).filter(|end| *end > KEY_PARAMS.end) else { return };
    file[KEY_PARAMS].copy_from_slice(&WRITTEN[KEY_FILE][KEY_PARAMS]);
    let digest = hash::sha256(&[&file[..end]]);
    file[end..].copy_from_slice(&digest);
}

fn open(disk: &MemoryDisk, seed: u64) -> Result<EncryptedDb, ProfileError> {
    let profile = profile(disk);
    profile.open(&passphrase(), Box::new(rng(seed)))
}

fn profile(disk: &MemoryDisk) -> Profile {
    let disk = Arc::new(disk.clone());
    Profile::on(disk.clone(), Arc::new(FileDeviceSecret::new(disk)), PasswordParams::dangerous_cheap())
}

fn passphrase() -> SecretBytes {
    SecretBytes::copy_of(b"correct horse")
}

/// Returns how many days there are, all of them as they were written.
fn read(db: &EncryptedDb) -> Result<i64, DatabaseError> {
    let mut statement = db.prepare("SELECT day, text FROM pages ORDER BY day")?;
    let mut rows = statement.query([])?;
    let mut days = 0;
    while let Some(row) = rows.next()? {
        assert_eq!(row.get::<_, i64>(0)?, days, "a day is missing");
        assert_eq!(row.get::<_, String>(1)?, text(days), "something else is read than was written");
        days += 1;
    }
    Ok(days)
}

fn write(db: &EncryptedDb, day: i64) -> rusqlite::Result<()> {
    db.execute("INSERT INTO pages VALUES (?1, ?2)", params![day, text(day)]).map(|_| ())
}

/// Longer than a third of a page, so that days are on several.
fn text(day: i64) -> String {
    format!("dear diary, on day {day} {}", "bob wrote about the lighthouse again; ".repeat(40))
}

static WRITTEN: LazyLock<Image> = LazyLock::new(|| {
    let disk = MemoryDisk::default();
    let db = profile(&disk).create(&passphrase(), Box::new(rng(1))).unwrap();
    db.execute_batch(
        "PRAGMA wal_autocheckpoint = 0; CREATE TABLE pages (day INTEGER PRIMARY KEY, text TEXT NOT NULL);",
    )
    .unwrap();
    for day in 0..DAYS {
        if day == CHECKPOINTED {
            db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        write(&db, day).unwrap();
    }
    // Killed here: nothing is closed.
    let image = disk.image();
    drop(db);
    image
});

/// One of each change.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1]];
    for file in 0..4u8 {
        for (kind, rest) in [
            (0, vec![3]),
            (1, piece(b"something else")),
            (2, vec![]),
            (3, piece(&[0; 64])),
            (4, piece(b"x")),
            (5, vec![1, 2]),
            (7, vec![]),
        ] {
            seeds.push([&[file % 2, file, kind, 0x00, 40, 2], &rest[..]].concat());
        }
    }
    // A key file that was changed and sealed again; a log that was cut between frames.
    seeds.push(vec![0, 2, 0, 0, 20, 0, 1, 2, 6, 0, 0, 0]);
    seeds.push([&[1, 1, 2], &((LOG_HEAD_BYTES + FRAME_BYTES) as u16).to_be_bytes()[..], &[0]].concat());
    seeds
}
