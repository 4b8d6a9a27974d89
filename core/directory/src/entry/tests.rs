use halcyon_crypto::kdf::labelled_hash;
use proptest::prelude::*;

use super::*;
use crate::testing::{BOTH_SUITES, Device, NOW, fixed_key, identity, padded, rng};

const ACCOUNT: AccountId = AccountId::from_bytes([0xa1; 16]);

fn phone() -> Device {
    Device::new(ACCOUNT, "phone", &BOTH_SUITES, &mut rng(1))
}

/// Encodes `entry` after `change` got at it, as a device with another program could.
fn altered(change: impl FnOnce(&mut wire::DeviceEntry)) -> Result<DeviceEntry, EntryError> {
    let mut wire = wire::DeviceEntry::decode(phone().entry.bytes().clone()).unwrap();
    change(&mut wire);
    DeviceEntry::decode(wire.encode_to_vec().into())
}

/// DIR-1, DIR-2: what Alice's phone signed, Bob reads.
#[test]
fn an_entry_is_read_as_it_was_signed() {
    let phone = phone();
    let read = CountersignedEntry::verify(ACCOUNT, phone.entry.bytes().clone(), phone.entry.signature().as_bytes());
    assert_eq!(read, Ok(phone.entry.clone()));
    let entry = phone.entry.entry();
    assert_eq!((entry.name(), entry.strongest(), entry.added()), ("phone", SuiteId::PAIR_EC, NOW));
    assert_eq!(entry.renamed("old phone").unwrap().name(), "old phone");
}

/// DIR-1: each rule has its own refusal.
#[test]
fn each_rule_of_an_entry_holds() {
    assert_eq!(altered(|_| {}).map(|entry| entry.id()), Ok(phone().id()));
    assert_eq!(altered(|e| e.device_id = Bytes::from_static(&[0; 16])), Err(EntryError::ForeignId));
    assert_eq!(altered(|e| e.device_id.clear()), Err(EntryError::ForeignId));
    assert_eq!(altered(|e| e.device_key = Bytes::from_static(&[7; 31])), Err(EntryError::Key(KeyError::Length)));
    for name in ["", "a\u{1b}[31mb", "line\nbreak", &"a".repeat(65)] {
        assert_eq!(altered(|e| e.name = name.into()), Err(EntryError::Name), "{name:?}");
    }
    for suites in [&[][..], &[2, 1], &[2, 2], &(2..19).collect::<Vec<u32>>()] {
        assert_eq!(altered(|e| e.suites = suites.to_vec()), Err(EntryError::Suites), "{suites:?}");
    }
    assert_eq!(altered(|e| e.suites = vec![2]), Err(EntryError::PairIdentity));
    assert_eq!(altered(|e| e.pair_identity.clear()), Err(EntryError::PairIdentity));
    assert_eq!(altered(|e| e.pair_identity = Bytes::from(vec![0; 249])), Err(EntryError::PairIdentity));
    let large = DeviceEntry::decode(vec![0; ENTRY_BYTES_MAX + 1].into());
    assert_eq!(large, Err(EntryError::TooLarge { found: ENTRY_BYTES_MAX + 1 }));
}

/// DIR-1: each limit is allowed itself; one more is not.
#[test]
fn the_limits_are_exact() {
    let encoded = phone().entry.bytes().clone();
    assert!(DeviceEntry::decode(padded(&encoded, ENTRY_BYTES_MAX)).is_ok());
    let over = DeviceEntry::decode(padded(&encoded, ENTRY_BYTES_MAX + 1));
    assert_eq!(over, Err(EntryError::TooLarge { found: ENTRY_BYTES_MAX + 1 }));
    let suites = |count: usize| (1..=u32::try_from(count).unwrap()).collect::<Vec<_>>();
    assert_eq!(altered(|e| e.suites = suites(SUITES_MAX)).map(|entry| entry.suites().len()), Ok(SUITES_MAX));
    assert_eq!(altered(|e| e.suites = suites(SUITES_MAX + 1)), Err(EntryError::Suites));
    assert!(altered(|e| e.name = "a".repeat(NAME_BYTES_MAX)).is_ok());
}

/// DIR-1, IDN-10: a device key that no point of the curve has is refused, with the right id too.
#[test]
fn a_key_off_the_curve_is_refused() {
    let off =
        (0..=255).map(|byte| CompactKey::from_bytes([byte; 32])).find(|key| VerifyingKey::from_compact(key).is_err());
    let off = off.unwrap();
    let entry = altered(|e| {
        e.device_key = Bytes::copy_from_slice(off.as_bytes());
        e.device_id = Bytes::copy_from_slice(device_id(&off).as_bytes());
    });
    assert_eq!(entry, Err(EntryError::Key(KeyError::NotOnCurve)));
}

/// DIR-1: a suite from the future is kept.
#[test]
fn an_unknown_suite_is_kept() {
    let entry = altered(|e| e.suites = vec![1, 2, 3, 900]).unwrap();
    assert_eq!(entry.strongest(), SuiteId::from_u32(900));
    assert_eq!(entry.suites().len(), 4);
}

/// DIR-2, IDN-14: an entry counts for one account, and by the hand of its own device.
#[test]
fn a_counter_signature_binds_entry_and_account() {
    let phone = phone();
    let verify =
        |account, bytes: &Bytes, signature: &[u8]| CountersignedEntry::verify(account, bytes.clone(), signature);
    let (bytes, signature) = (phone.entry.bytes(), phone.entry.signature().as_bytes());
    let other_account = AccountId::from_bytes([0xb0; 16]);
    assert_eq!(verify(other_account, bytes, signature), Err(EntryError::Unsigned));
    assert_eq!(verify(ACCOUNT, bytes, &signature[..63]), Err(EntryError::Unsigned));
    let renamed = phone.entry.entry().renamed("Phone").unwrap();
    assert_eq!(verify(ACCOUNT, &renamed.encode(), signature), Err(EntryError::Unsigned));
    let mallory = fixed_key(1);
    assert_eq!(CountersignedEntry::sign(renamed, ACCOUNT, &mallory), Err(EntryError::Unsigned));
    // IDN-11: a signature under another label is none.
    let wrong_label = phone.key.sign(Label::DeviceList, &parts(&ACCOUNT, bytes));
    assert_eq!(verify(ACCOUNT, bytes, wrong_label.as_bytes()), Err(EntryError::Unsigned));
}

/// DIR-1, DIR-2, IDN-11: the encoding and the signed preimage (as its hash), pinned.
#[test]
fn the_bytes_are_pinned() {
    let key = fixed_key(1);
    let entry = DeviceEntry::new(key.verifying_key(), "phone", &[SuiteId::PAIR_EC], None, NOW).unwrap();
    assert_eq!(
        hex::encode(entry.encode()),
        "0a10cbdab2b812029385769a109ccabefad912206ff03b949241ce1dadd43519e6960e0a85b41a69a05c328103aa2bce1594ca161a0570686f6e652a01023080d095ffbc31"
    );
    let hash = labelled_hash(Label::DeviceEntry, &parts(&ACCOUNT, &entry.encode()));
    assert_eq!(hex::encode(hash), "b5fab67c9e2b5e0f9d39b66ffa929c2db6d5cb9fb1e96ad2c9f93ffa29b1b20d");
}

proptest! {
    /// DIR-1: whatever arrives, it is judged without a panic.
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>, signature: Vec<u8>) {
        prop_assert!(CountersignedEntry::verify(ACCOUNT, bytes.into(), &signature).is_err());
    }

    /// DIR-1: one changed byte of a valid entry is refused, by its form or by the signature.
    #[test]
    fn any_changed_byte_is_refused(at: prop::sample::Index, change in 1u8..) {
        let phone = phone();
        let mut bytes = phone.entry.bytes().to_vec();
        bytes[at.index(phone.entry.bytes().len())] ^= change;
        prop_assert!(CountersignedEntry::verify(ACCOUNT, bytes.into(), phone.entry.signature().as_bytes()).is_err());
    }
}

/// DIR-1: the builder sorts, and refuses the same as the reader.
#[test]
fn the_builder_obeys_the_rules() {
    let key = fixed_key(1);
    let make = |name, suites: &[SuiteId], identity| DeviceEntry::new(key.verifying_key(), name, suites, identity, NOW);
    let unsorted = [SuiteId::PAIR_EC, SuiteId::PAIR, SuiteId::PAIR_EC];
    assert_eq!(make("phone", &unsorted, Some(identity(&mut rng(1)))).unwrap().suites(), BOTH_SUITES);
    assert_eq!(make("phone", &[], None), Err(EntryError::Suites));
    assert_eq!(make("", &[SuiteId::PAIR_EC], None), Err(EntryError::Name));
    assert_eq!(make("phone", &unsorted, None), Err(EntryError::PairIdentity));
}
