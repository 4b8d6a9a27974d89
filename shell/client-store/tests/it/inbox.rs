//! What arrives before anybody unlocked the profile is kept, in its order, for nobody else's eyes, whatever happens to the power.

use std::io;

use halcyon_client_store::{INBOX_FILE, Inbox, Profile, ProfileKeys, RECEIVER_FILE};
use halcyon_crypto::SecretBytes;
use halcyon_keychain::State;

use crate::{
    diary::{passphrase, profile_on, rng},
    sim_disk::{Crash, SimDisk},
};

/// A profile that is made, and closed.
fn profile(disk: &SimDisk) -> Profile {
    let profile = profile_on(disk);
    drop(profile.create(&passphrase(), rng(1)).unwrap());
    profile
}

fn locked_keys(profile: &Profile) -> ProfileKeys {
    profile.locked_keys().unwrap().unwrap()
}

fn deliveries(inbox: &mut Inbox) -> Vec<Vec<u8>> {
    let (mut found, mut place) = (Vec::new(), 0);
    while let Some((delivery, next)) = inbox.read_at(place).unwrap() {
        found.push(delivery.expose().to_vec());
        place = next;
    }
    assert_eq!(found.len() as u64, inbox.len());
    found
}

fn add(inbox: &mut Inbox, text: &str) -> io::Result<()> {
    inbox.add(text.as_bytes(), rng(7).as_mut())
}

/// KEY-3, KEY-11, KEY-12: without the passphrase it is written, with it read, and nothing of it shows.
#[test]
fn deliveries_wait_for_the_passphrase() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    let keys = locked_keys(&profile);
    assert_eq!(keys.state(), State::BeforeFirstUnlock);
    let mut inbox = Inbox::open(keys).unwrap();
    assert!(inbox.is_empty() && inbox.read_at(0).unwrap().is_none());
    add(&mut inbox, "attack at dawn").unwrap();
    drop(inbox);
    let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
    add(&mut inbox, "or at noon").unwrap();
    drop(inbox);
    let kept = disk.content(INBOX_FILE);
    assert!(!kept.windows(6).any(|bytes| bytes == b"attack"));

    let database = profile.open(&passphrase(), rng(2)).unwrap();
    assert_eq!(database.keys().state(), State::Unlocked);
    let mut inbox = Inbox::open(database.keys().clone()).unwrap();
    assert_eq!(deliveries(&mut inbox), [b"attack at dawn".to_vec(), b"or at noon".to_vec()]);
    inbox.clear().unwrap();
    assert!(inbox.is_empty());
    add(&mut inbox, "again").unwrap();
    drop(inbox);
    assert_eq!(deliveries(&mut Inbox::open(locked_keys(&profile)).unwrap()), [b"again".to_vec()]);
}

/// KEY-11: what was added is there after a power cut at any step, and what was not whole is no delivery, nor in the way of the next.
#[test]
fn a_power_cut_loses_nothing_that_was_added() {
    let mut cuts = 0;
    for steps in 1.. {
        let disk = SimDisk::default();
        let profile = profile(&disk);
        let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
        disk.power_fails_after(steps);
        let added = (0..6).take_while(|n| add(&mut inbox, &format!("delivery {n}")).is_ok()).count();
        if !disk.is_dark() {
            break;
        }
        cuts += 1;
        for seed in 0..4 {
            let after = disk.crash(Crash::PowerCut, &mut rand::SeedableRng::seed_from_u64(seed));
            let mut inbox = Inbox::open(locked_keys(&profile_on(&after))).unwrap();
            let found = deliveries(&mut inbox);
            assert!(found.len() >= added, "{added} were added, {} are there", found.len());
            add(&mut inbox, "after it").unwrap();
            let mut inbox = Inbox::open(locked_keys(&profile_on(&after))).unwrap();
            let last = deliveries(&mut inbox);
            assert_eq!((&last[..found.len()], last.len()), (&found[..], found.len() + 1));
        }
    }
    assert!(cuts > 10, "{cuts}");
}

/// KEY-11, STO-7: after a failed sync nothing is added until the inbox is opened anew, and what is added then is durable.
#[test]
fn a_failed_sync_ends_adding() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
    add(&mut inbox, "first").unwrap();
    disk.fail_next_sync();
    assert!(add(&mut inbox, "lost").is_err());
    assert!(add(&mut inbox, "refused").is_err());
    let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
    add(&mut inbox, "second").unwrap();
    let after = disk.crash(Crash::PowerCutNothingKept, &mut rand::SeedableRng::seed_from_u64(1));
    let found = deliveries(&mut Inbox::open(locked_keys(&profile_on(&after))).unwrap());
    assert_eq!((found.first().unwrap(), found.last().unwrap()), (&b"first".to_vec(), &b"second".to_vec()));
}

/// KEY-11: a full disk and a full inbox are said so, and what is there stays.
#[test]
fn what_does_not_fit_is_not_added() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
    add(&mut inbox, "first").unwrap();
    disk.set_full(true);
    assert_eq!(add(&mut inbox, "second").unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.set_full(false);
    add(&mut inbox, "third").unwrap();
    assert_eq!(inbox.add(&vec![0; 600_000], rng(7).as_mut()).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(deliveries(&mut inbox), [b"first".to_vec(), b"third".to_vec()]);
}

/// KEY-11: records are for their place: none can be changed, moved or left out but at the end.
#[test]
fn a_changed_inbox_ends_where_it_was_changed() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    let mut inbox = Inbox::open(locked_keys(&profile)).unwrap();
    for text in ["one", "two", "six"] {
        add(&mut inbox, text).unwrap();
    }
    drop(inbox);
    let length = disk.content(INBOX_FILE).len() / 3;
    let swapped = disk.copy();
    swapped.tamper(INBOX_FILE, |bytes| bytes.rotate_left(length));
    assert!(Inbox::open(locked_keys(&profile_on(&swapped))).unwrap().is_empty());
    disk.tamper(INBOX_FILE, |bytes| bytes[length + 20] ^= 1);
    let mut inbox = Inbox::open(locked_keys(&profile_on(&disk))).unwrap();
    assert_eq!(deliveries(&mut inbox), [b"one".to_vec()]);
}

/// KEY-10: what the device receives by is read without the passphrase, and by no other device.
#[test]
fn a_receiver_is_kept() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    assert!(locked_keys(&profile).receiver().unwrap().is_none());
    let database = profile.open(&passphrase(), rng(2)).unwrap();
    database.keys().keep_receiver(&SecretBytes::copy_of(b"the key that receives"), rng(3).as_mut()).unwrap();
    drop(database);
    let kept = locked_keys(&profile).receiver().unwrap().unwrap();
    assert_eq!(kept.expose(), b"the key that receives");
    assert!(!disk.content(RECEIVER_FILE).windows(8).any(|bytes| bytes == b"receives"));
    disk.tamper(RECEIVER_FILE, |bytes| bytes[30] ^= 1);
    assert!(locked_keys(&profile).receiver().unwrap().is_none());
}

/// KEY-6, KEY-7, KEY-9: what each step leaves readable, in the keys that the store uses, too.
#[test]
fn locking_and_forgetting() {
    let disk = SimDisk::default();
    let profile = profile(&disk);
    let database = profile.open(&passphrase(), rng(2)).unwrap();
    let keys = database.keys().clone();
    keys.lock();
    assert_eq!(database.keys().state(), State::Locked);
    let wrong = SecretBytes::copy_of(b"correct house");
    assert!(keys.unlock(&wrong, rng(3).as_mut()).is_err());
    assert_eq!(keys.state(), State::Locked);
    keys.unlock(&passphrase(), rng(3).as_mut()).unwrap();
    assert_eq!(database.keys().state(), State::Unlocked);
    assert!(keys.wrapping_key(&wrong).is_err());
    let key = keys.wrapping_key(&passphrase()).unwrap();
    keys.forget();
    assert_eq!(database.keys().state(), State::BeforeFirstUnlock);
    drop(database);
    drop(profile.open_with(&key, rng(4)).unwrap());
    let database = profile.open(&passphrase(), rng(5)).unwrap();
    database.change_passphrase(&passphrase(), &wrong, rng(6).as_mut()).unwrap();
    drop(database);
    assert!(profile.open_with(&key, rng(7)).is_err(), "the passphrase is another one");
}
