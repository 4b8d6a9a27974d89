use std::sync::LazyLock;

use halcyon_crypto::{Secret, SigningKey};
use halcyon_directory::{
    SignedList, account_id,
    lookup::{LookupRequest, ServedAccount, ServedAddress, encode_response},
    resolver::{self, Known},
    session::SessionKey,
};
use halcyon_suites::pq3::BundleError;
use halcyon_types::{AccountId, Handle};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{prekeys, register::countersigned};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Bob: an account, his devices' keys, and what the server says of him.
struct Bob {
    devices: Vec<DeviceKeys>,
    served: ServedAccount,
}

impl Bob {
    /// Devices that speak these suites.
    fn with(devices: &[&[Suite]], rng: &mut StdRng) -> Self {
        let account_key = SigningKey::generate_compact(rng);
        let account = account_id(account_key.verifying_key().compact());
        let devices: Vec<DeviceKeys> = devices.iter().map(|suites| DeviceKeys::generate(rng, suites, NOW)).collect();
        let entries: Vec<_> =
            devices.iter().map(|keys| countersigned(keys, &Suite::SPOKEN, account, "device", NOW).unwrap()).collect();
        let mut list = SignedList::first(&account_key, entries[0].clone(), NOW).unwrap();
        for entry in &entries[1..] {
            list = list.next().with(entry.clone()).sign(&account_key, NOW).unwrap();
        }
        let addresses = entries.iter().zip(&devices).map(|(entry, keys)| ServedAddress {
            device: entry.entry().id(),
            push_token: PushToken::from_bytes([1; 32]),
            prekeys: prekeys::newest(keys, &Suite::SPOKEN),
        });
        let session = SessionKey::from_secret(Secret::random(rng)).mint(AccountId::from_bytes([7; 16]), account, NOW);
        let served = ServedAccount { list: list.clone(), addresses: addresses.collect(), session };
        Self { devices, served }
    }

    fn resolved(&self) -> VerifiedDevices {
        let handle = Handle::parse("mailto:bob@example.org").unwrap();
        let asked = LookupRequest::new(vec![handle.clone()]).unwrap();
        let response = encode_response(&[(handle.clone(), Some(self.served.clone()))]);
        let answer = asked.read_response(response).unwrap().remove(0).account.unwrap();
        resolver::accept(Known::default(), &handle, &answer, NOW).unwrap().devices
    }
}

fn alice(rng: &mut StdRng) -> DeviceKeys {
    DeviceKeys::generate(rng, &Suite::SPOKEN, NOW)
}

fn fan_out<'a>(own: &'a DeviceKeys, forced: Option<SuiteId>) -> FanOut<'a> {
    static HANDLES: LazyLock<[Handle; 2]> =
        LazyLock::new(|| ["mailto:alice@example.org", "mailto:bob@example.org"].map(|uri| Handle::parse(uri).unwrap()));
    FanOut {
        plaintext: b"hello",
        own,
        account: AccountId::from_bytes([7; 16]),
        push_token: Some(PushToken::from_bytes([2; 32])),
        from: &HANDLES[0],
        to: &HANDLES[1],
        allowed: &Suite::SPOKEN,
        forced,
        now: NOW,
    }
}

/// A first copy for each device that is wanted.
fn copies(devices: &VerifiedDevices, wanted: impl Fn(DeviceId) -> bool) -> BTreeMap<DeviceId, (Session, Place)> {
    let ids = devices.devices().iter().map(|device| device.device_id()).filter(|device| wanted(*device));
    ids.map(|device| (device, Default::default())).collect()
}

fn seal_all(fan_out: &FanOut<'_>, bob: &Bob, rng: &mut StdRng) -> Vec<Fanned> {
    let devices = bob.resolved();
    fan_out.seal(&devices, copies(&devices, |_| true), rng)
}

/// SND-1, SUI-3, SUI-5: each device gets its own sealed copy, in the strongest suite that it shares with us.
#[test]
fn every_device_gets_its_own() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (alice, bob) = (alice(rng), Bob::with(&[&Suite::SPOKEN, &Suite::SPOKEN], rng));
    let fanned = seal_all(&fan_out(&alice, None), &bob, rng);
    let sealed: Vec<&SealedFor> = fanned.iter().map(|fanned| fanned.outcome.as_ref().unwrap()).collect();
    assert!(sealed.iter().all(|sealed| sealed.suite == SuiteId::PQ3));
    assert_ne!(sealed[0].payload, sealed[1].payload);
    assert!(fanned.is_sorted_by_key(|fanned| fanned.device));
    let forced = seal_all(&fan_out(&alice, Some(SuiteId::PAIR)), &bob, rng);
    assert!(forced.iter().all(|fanned| fanned.outcome.as_ref().unwrap().suite == SuiteId::PAIR));
}

/// SND-3: a device that has the message is left out; the sessions of the others go on from where they were.
#[test]
fn only_wanted_devices_are_sealed_for() {
    let rng = &mut StdRng::seed_from_u64(2);
    let (alice, bob) = (alice(rng), Bob::with(&[&Suite::SPOKEN, &Suite::SPOKEN], rng));
    let devices = bob.resolved();
    let (has_it, wants_it) = (devices.devices()[0].device_id(), devices.devices()[1].device_id());
    let first = fan_out(&alice, None).seal(&devices, copies(&devices, |device| device != has_it), rng).remove(0);
    assert_eq!(first.device, wants_it);
    let session = first.outcome.unwrap().next;
    let again = BTreeMap::from([(wants_it, (session.clone(), Place::default()))]);
    let second = fan_out(&alice, None).seal(&devices, again, rng).remove(0);
    assert_ne!(second.outcome.unwrap().next, session, "no counter is used twice");
}

/// SND-4, DIR-22, SUI-8: each cause keeps only its own device from the message.
#[test]
fn one_device_does_not_keep_the_others_from_it() {
    let rng = &mut StdRng::seed_from_u64(3);
    let (alice, mut bob) =
        (alice(rng), Bob::with(&[&Suite::SPOKEN, &Suite::SPOKEN, &Suite::SPOKEN, &Suite::SPOKEN], rng));
    let addresses = &mut bob.served.addresses;
    let mallory = DeviceKeys::generate(rng, &Suite::SPOKEN, NOW);
    let (silent, foreign) = (addresses[1].device, addresses[2].device);
    addresses[1].prekeys.clear();
    addresses[2].prekeys = prekeys::newest(&mallory, &Suite::SPOKEN);
    let absent = addresses.remove(3).device;
    let fanned = seal_all(&fan_out(&alice, None), &bob, rng);
    let outcome = |device| fanned.iter().find(|fanned| fanned.device == device).unwrap().outcome.as_ref();
    assert_eq!(outcome(absent).unwrap_err(), &Unsealable::NoAddress);
    assert_eq!(outcome(silent).unwrap_err(), &Unsealable::Seal(SealError::NoPrekey));
    assert_eq!(outcome(foreign).unwrap_err(), &Unsealable::Seal(SealError::BadBundle(BundleError::Unsigned)));
    assert_eq!(fanned.iter().filter(|fanned| fanned.outcome.is_ok()).count(), 1);
    assert_eq!(bob.devices.len(), 4);
}

/// SUI-6, SUI-7: what is forced must be a suite that both speak.
#[test]
fn a_forced_suite_must_be_common() {
    let rng = &mut StdRng::seed_from_u64(4);
    let (alice, bob) = (alice(rng), Bob::with(&[&[Suite::PairEc]], rng));
    let forced = |suite, rng: &mut StdRng| seal_all(&fan_out(&alice, Some(suite)), &bob, rng).remove(0).outcome;
    assert_eq!(forced(SuiteId::PAIR, rng).unwrap_err(), Unsealable::Choice(ChoiceError::NotCommon(Suite::Pair)));
    let unknown = SuiteId::from_u32(9);
    assert_eq!(forced(unknown, rng).unwrap_err(), Unsealable::ForcedUnknown(unknown));
}

/// SUI-9: what was switched off is not used, and where nothing else is common, nothing is sealed.
#[test]
fn suites_that_are_switched_off_are_not_used() {
    let rng = &mut StdRng::seed_from_u64(5);
    let (alice, bob) = (alice(rng), Bob::with(&[&[Suite::Pair, Suite::PairEc]], rng));
    let mut seal = |allowed: &[Suite]| {
        let fan_out = FanOut { allowed, ..fan_out(&alice, None) };
        seal_all(&fan_out, &bob, rng).remove(0).outcome
    };
    assert_eq!(seal(&Suite::SPOKEN).unwrap().suite, SuiteId::PAIR_EC);
    assert_eq!(seal(&[Suite::Pair, Suite::Pq3]).unwrap().suite, SuiteId::PAIR);
    assert_eq!(seal(&[Suite::Pq3]).unwrap_err(), Unsealable::Choice(ChoiceError::NoneInCommon));
}
