//! Whatever is committed is there after a crash at any step, and the database is whole.

use halcyon_client_store::{DatabaseError, KeyFileError, ProfileError};
use halcyon_crypto::SecretBytes;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    diary,
    sim_disk::{Crash, SimDisk},
};

/// Days that the diary is written before nothing new happens to the files: several checkpoints and new logs.
const DAYS: i64 = 11;

/// Writes day after day until the power fails or the last day is written. Returns the days known to be committed.
fn write_until_dark(disk: &SimDisk, known: i64, seed: u64) -> i64 {
    let mut known = known;
    let Ok(mut diary) = diary::open(disk, seed) else {
        assert!(disk.is_dark(), "the profile must open while there is power");
        return known;
    };
    let days = match diary.read() {
        Ok(days) => days,
        Err(error) => {
            assert!(disk.is_dark(), "{error} while there was power");
            return known;
        }
    };
    assert!(holds(days, known), "seed {seed}: {days} days of {known}");
    // What was in doubt is settled now: it was read from what the crash left.
    known = days;
    for day in days..DAYS {
        match diary.write(day) {
            Ok(()) => known = day + 1,
            Err(error) => {
                assert!(disk.is_dark(), "{error} while there was power");
                break;
            }
        }
    }
    known
}

/// Crashes at step `first`, again `second` steps into the recovery, and then looks.
fn crash_twice(first: usize, second: usize, crash: Crash, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = SimDisk::default();
    disk.power_fails_after(first);
    let known = write_until_dark(&disk, 0, seed);
    let disk = disk.crash(crash, &mut rng);
    disk.power_fails_after(second);
    let known = write_until_dark(&disk, known, seed + 1);
    let disk = disk.crash(crash, &mut rng);

    let diary = diary::open(&disk, seed + 2)
        .unwrap_or_else(|error| panic!("{crash:?} at {first}, then {second}, seed {seed}: {error}"));
    let days = diary.read().unwrap();
    assert!(holds(days, known), "{crash:?} at {first}, then {second}: {days} days of {known}");
}

/// A transaction that was cut off may have happened; one that was confirmed has.
fn holds(days: i64, known: i64) -> bool {
    (known..=known + 1).contains(&days)
}

fn steps_in_all() -> usize {
    let disk = SimDisk::default();
    assert_eq!(write_until_dark(&disk, 0, 1), DAYS);
    disk.steps()
}

/// SND-1, RCV-1: a commit that returned is on the disk, wherever the power fails afterwards.
#[test]
fn every_commit_survives_a_power_cut_at_every_step() {
    let steps = steps_in_all();
    assert!(steps > 250, "the diary makes too little work: {steps} steps");
    for first in 1..=steps {
        let second = 1 + first * 7 % 60;
        crash_twice(first, second, Crash::PowerCut, first as u64);
    }
}

/// The same, where a lazy disk kept nothing that was not synced: what the process believes must not depend on it.
#[test]
fn every_commit_survives_a_power_cut_that_keeps_nothing_unsynced() {
    for first in (1..=steps_in_all()).step_by(3) {
        crash_twice(first, 1 + first * 11 % 90, Crash::PowerCutNothingKept, first as u64);
    }
}

/// SND-1, RCV-1: the same when only the process is killed.
#[test]
fn every_commit_survives_a_kill_at_every_step() {
    for first in (1..=steps_in_all()).step_by(3) {
        crash_twice(first, 1 + first * 5 % 80, Crash::Kill, first as u64);
    }
}

/// The tests above can fail: where syncs do nothing, confirmed days are gone.
#[test]
fn a_lying_sync_would_be_caught() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.write(0).unwrap();
    disk.lie_about_syncs();
    diary.write(1).unwrap();
    let disk = disk.crash(Crash::PowerCutNothingKept, &mut StdRng::seed_from_u64(1));
    assert_eq!(diary::open(&disk, 2).unwrap().read().unwrap(), 1);
}

/// A sync that failed once ends writing: the system may have dropped the bytes and would call a second sync a success.
#[test]
fn after_a_failed_sync_nothing_is_written_until_the_profile_is_opened_anew() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.write(0).unwrap();
    disk.fail_next_sync();
    let failed = DatabaseError::from(diary.write(1).unwrap_err());
    assert!(matches!(failed, DatabaseError::Disk(_)), "{failed:?}");
    let stopped = DatabaseError::from(diary.write(1).unwrap_err());
    assert!(matches!(stopped, DatabaseError::Disk(_)), "{stopped:?}");
    drop(diary);

    let disk = disk.crash(Crash::PowerCutNothingKept, &mut StdRng::seed_from_u64(1));
    let mut diary = diary::open(&disk, 2).unwrap();
    assert_eq!(diary.read().unwrap(), 1);
    diary.write(1).unwrap();
    assert_eq!(diary.read().unwrap(), 2);
}

/// STO-7: after a failed sync the next process reads what is not on the disk. What it writes after that survives a power cut.
#[test]
fn what_is_written_after_a_failed_sync_and_a_restart_is_durable() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.write(0).unwrap();
    disk.fail_next_sync();
    diary.write(1).unwrap_err();
    drop(diary);

    // The process ended, the machine did not.
    let mut diary = diary::open(&disk, 2).unwrap();
    let days = diary.read().unwrap();
    diary.write(days).unwrap();
    let disk = disk.crash(Crash::PowerCutNothingKept, &mut StdRng::seed_from_u64(1));
    assert_eq!(diary::open(&disk, 3).unwrap().read().unwrap(), days + 1);
}

/// A full disk refuses the transaction, loses nothing, and writing goes on when there is room again.
#[test]
fn a_full_disk_loses_nothing() {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    for day in 0..3 {
        diary.write(day).unwrap();
    }
    disk.set_full(true);
    for _ in 0..2 {
        let full = DatabaseError::from(diary.write(3).unwrap_err());
        assert!(matches!(full, DatabaseError::DiskFull(_)), "{full:?}");
        assert_eq!(diary.days().unwrap(), 3, "reading goes on");
        // Not `integrity_check` on this connection: after a transaction that SQLite itself undid, FTS5 compares with
        // totals that it keeps in memory and calls the index malformed, over plain files too. The disk is whole.
        assert_eq!(diary::open(&disk.copy(), 2).unwrap().read().unwrap(), 3);
    }
    disk.set_full(false);
    for day in 3..DAYS {
        diary.write(day).unwrap();
    }
    assert_eq!(diary.read().unwrap(), DAYS);
}

/// A change of the passphrase is whole or did not happen, and one that was confirmed stays.
#[test]
fn a_passphrase_change_survives_a_power_cut_at_every_step() {
    let new = SecretBytes::copy_of(b"battery staple");
    for step in 1.. {
        let disk = SimDisk::default();
        let diary = diary::open(&disk, 1).unwrap();
        disk.power_fails_after(step);
        let changed = diary.db.change_passphrase(&diary::passphrase(), &new, diary::rng(2).as_mut()).is_ok();
        drop(diary);
        for crash in [Crash::PowerCut, Crash::PowerCutNothingKept, Crash::Kill] {
            let disk = disk.crash(crash, &mut StdRng::seed_from_u64(step as u64));
            let profile = diary::profile_on(&disk);
            match profile.open(&new, diary::rng(3)) {
                Ok(_) => {}
                Err(ProfileError::Key(KeyFileError::WrongPassphrase)) => {
                    assert!(!changed, "{crash:?} at {step}: the new passphrase was confirmed");
                    drop(profile.open(&diary::passphrase(), diary::rng(3)).unwrap());
                }
                Err(error) => panic!("{crash:?} at {step}: {error}"),
            }
        }
        if changed {
            return;
        }
    }
}
