//! What was changed behind the store's back is an error, or changes nothing.

use halcyon_client_store::{DatabaseError, ProfileError};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    diary::{self, Diary, passphrase, profile_on},
    sim_disk::SimDisk,
};

const DAYS: i64 = 9;
const PAGE_BYTES: usize = 4096;

/// A disk as a process leaves it that ended well: everything in the database.
fn closed() -> SimDisk {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    for day in 0..DAYS {
        diary.write(day).unwrap();
    }
    drop(diary);
    disk.copy()
}

/// A disk as a killed process leaves it: pages in the database, later transactions in the log.
fn written() -> SimDisk {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.db.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    for day in 0..DAYS {
        if day == DAYS - 4 {
            diary.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        diary.write(day).unwrap();
    }
    disk.copy()
}

/// Opens and reads everything. An error must say that the store is damaged.
fn read_all(disk: &SimDisk) -> Result<i64, ()> {
    let damaged = |error: rusqlite::Error| match DatabaseError::from(error) {
        DatabaseError::Damaged(_) => (),
        other => panic!("tampering shows as {other:?}"),
    };
    match profile_on(disk).open(&passphrase(), diary::rng(2)) {
        Ok(db) => Diary { db }.read().map_err(damaged),
        Err(ProfileError::Database(DatabaseError::Damaged(_)) | ProfileError::DatabaseForeign) => Err(()),
        Err(other) => panic!("tampering shows as {other:?}"),
    }
}

#[test]
fn the_untouched_store_is_whole() {
    let disk = written();
    assert!(disk.content("store.db").len() > 8 * PAGE_BYTES);
    assert!(disk.content("store.db-log").len() > 8 * PAGE_BYTES);
    assert_eq!(read_all(&disk), Ok(DAYS));
    assert_eq!(read_all(&closed()), Ok(DAYS));
    assert!(!closed().files().contains(&"store.db-log".to_owned()));
}

/// A flipped bit anywhere in the database is an error, unless nobody reads that page: it is free, or the log has a
/// newer one.
#[test]
fn every_flipped_bit_in_the_database_is_noticed_or_harmless() {
    let mut rng = StdRng::seed_from_u64(1);
    for (written, least_noticed) in [(closed(), 100), (written(), 20)] {
        let size = written.content("store.db").len();
        let mut noticed = 0;
        for round in 0..400 {
            // The first byte of each page, and then anywhere.
            let at = if round * PAGE_BYTES < size { round * PAGE_BYTES } else { rng.gen_range(0..size) };
            let disk = written.copy();
            disk.tamper("store.db", |bytes| bytes[at] ^= 1 << rng.gen_range(0..8));
            match read_all(&disk) {
                Err(()) => noticed += 1,
                Ok(days) => assert_eq!(days, DAYS, "byte {at}"),
            }
        }
        assert!(noticed >= least_noticed, "only {noticed} of 400 were noticed");
    }
}

/// A flipped bit in the log is an error. Only the last transaction can be lost, because damage to it looks like a
/// power cut in the middle of it.
#[test]
fn every_flipped_bit_in_the_log_is_noticed_or_costs_the_last_transaction_only() {
    let written = written();
    let mut rng = StdRng::seed_from_u64(2);
    let size = written.content("store.db-log").len();
    let (mut noticed, mut lost_last) = (0, 0);
    for round in 0..400 {
        let at = if round < 128 { round } else { rng.gen_range(0..size) };
        let disk = written.copy();
        disk.tamper("store.db-log", |bytes| bytes[at] ^= 1 << rng.gen_range(0..8));
        match read_all(&disk) {
            Err(()) => noticed += 1,
            Ok(days) => {
                assert!((DAYS - 1..=DAYS).contains(&days), "byte {at}: {days} days");
                lost_last += i64::from(days < DAYS);
            }
        }
    }
    assert!(noticed > 200 && lost_last > 0, "noticed {noticed}, lost the last {lost_last}");
}

/// Pages and frames open only where they were written.
#[test]
fn nothing_can_be_moved_swapped_or_blanked() {
    let written = written();
    let pages = written.content("store.db").len() / PAGE_BYTES;
    for page in 0..pages {
        let swapped = written.copy();
        swapped.tamper("store.db", |bytes| {
            let other = (page + 1) % pages;
            for i in 0..PAGE_BYTES {
                bytes.swap(page * PAGE_BYTES + i, other * PAGE_BYTES + i);
            }
        });
        let blanked = written.copy();
        blanked.tamper("store.db", |bytes| bytes[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].fill(0));
        for disk in [swapped, blanked] {
            if let Ok(days) = read_all(&disk) {
                assert_eq!(days, DAYS, "page {page}");
            }
        }
    }
    let frame_bytes = PAGE_BYTES + 24;
    let swapped = written.copy();
    swapped.tamper("store.db-log", |bytes| {
        for i in 0..frame_bytes {
            bytes.swap(128 + i, 128 + frame_bytes + i);
        }
    });
    assert_eq!(read_all(&swapped), Err(()));
}

/// A database that was cut off is an error, at whatever length.
#[test]
fn a_shortened_database_is_noticed() {
    let whole = closed();
    let size = whole.content("store.db").len();
    for len in (0..size).step_by(PAGE_BYTES / 2) {
        let disk = whole.copy();
        disk.tamper("store.db", |bytes| bytes.truncate(len));
        // Half of a free page is nobody's loss.
        let half_of_the_last = len > size - PAGE_BYTES;
        let read = read_all(&disk);
        assert!(read == Err(()) || (half_of_the_last && read == Ok(DAYS)), "{len} of {size} bytes: {read:?}");
    }
}

/// A page of another profile's database does not open, and a whole one is told from damage.
#[test]
fn another_profiles_database_is_foreign() {
    let alice = closed();
    let bob = SimDisk::default();
    let mut diary = diary::open(&bob, 77).unwrap();
    for day in 0..DAYS {
        diary.write(day).unwrap();
    }
    drop(diary);
    let bobs = bob.content("store.db");

    let swapped = alice.copy();
    swapped.tamper("store.db", |bytes| *bytes = bobs.clone());
    let refused = profile_on(&swapped).open(&passphrase(), diary::rng(2)).unwrap_err();
    assert!(matches!(refused, ProfileError::DatabaseForeign), "{refused:?}");

    for page in 0..alice.content("store.db").len().min(bobs.len()) / PAGE_BYTES {
        let spliced = alice.copy();
        let there = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
        spliced.tamper("store.db", |bytes| bytes[there.clone()].copy_from_slice(&bobs[there]));
        // A free page is nobody's loss.
        assert!(matches!(read_all(&spliced), Err(()) | Ok(DAYS)), "page {page}");
    }
}
