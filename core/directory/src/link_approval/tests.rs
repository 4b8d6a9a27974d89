//! Alice's new tablet (N) joins by her phone (T), and Mallory's server tries to come along.

use halcyon_types::PushToken;

use super::{
    approver::{Approved, ApproverError, Candidate, Challenged, Comparing, Typed},
    newcomer::{Approval, Kept, Newcomer, NewcomerError, Revealing},
    transcript::Transcript,
    *,
};
use crate::{
    entry::EntryError,
    testing::{Account, BOTH_SUITES, Device, NOW, fixed_key, push_token, rng},
};

struct Stage {
    alice: Account,
    tablet: Device,
}

impl Stage {
    fn new() -> Self {
        let mut rng = rng(1);
        let alice = Account::with(&["phone", "laptop"], &mut rng);
        let tablet = Device::new(alice.id(), "tablet", &BOTH_SUITES, &mut rng);
        Self { alice, tablet }
    }

    fn phone(&self) -> DeviceId {
        self.alice.devices[0].id()
    }

    fn newcomer(&self) -> Newcomer {
        Newcomer::begin(self.alice.id(), self.tablet.entry.clone(), &mut rng(2))
    }

    fn examine(&self, request: &LinkRequest) -> Result<Candidate, ApproverError> {
        Candidate::examine(&self.alice.list, self.phone(), request)
    }

    /// Both sides up to where the digits are on one screen and asked for on the other.
    fn up_to_digits(&self) -> (Revealing, Comparing) {
        let newcomer = self.newcomer();
        let (challenged, challenge) = self.examine(&newcomer.request()).unwrap().challenge(&mut rng(3));
        let revealing = newcomer.challenged(challenge).unwrap();
        let comparing = challenged.revealed(revealing.reveal()).unwrap();
        (revealing, comparing)
    }

    fn approve(&self) -> (Revealing, Approved) {
        let (revealing, comparing) = self.up_to_digits();
        let Typed::Approved(approved) = comparing.typed(&revealing.digits().to_string()) else {
            panic!("the digits are right")
        };
        (revealing, approved)
    }

    fn approval(&self) -> (Revealing, Approval) {
        let (revealing, approved) = self.approve();
        let completion = approved.complete(&self.alice.key, &self.alice.list, NOW).unwrap();
        let approval = Approval {
            device_list: completion.list.encode(),
            sealed: completion.sealed,
            push_token: PushToken::from_bytes([7; 32]),
        };
        (revealing, approval)
    }
}

/// LNK-1 to LNK-10: the whole way.
#[test]
fn a_tablet_joins() {
    let stage = Stage::new();
    let (revealing, approval) = stage.approval();
    let linked = revealing.approved(&approval).unwrap();
    assert_eq!(linked.account_key.verifying_key(), stage.alice.key.verifying_key());
    assert_eq!((linked.list.version(), linked.list.devices().len()), (3, 3));
    assert_eq!(linked.push_token, approval.push_token);
    assert!(!format!("{linked:?}").contains(&hex::encode(linked.account_key.to_secret().expose())));
}

/// LNK-11: the tablet's process ended after it was challenged. What it kept has the same digits, reveals the same nonce, and opens what
/// was sealed for it; not with another entry.
#[test]
fn a_tablet_that_was_interrupted_goes_on() {
    let stage = Stage::new();
    let (revealing, approval) = stage.approval();
    let (kept, digits, nonce) = (revealing.kept(), revealing.digits().to_string(), revealing.reveal());
    drop(revealing);
    let again = Revealing::again(stage.alice.id(), stage.tablet.entry.clone(), kept.clone()).unwrap();
    assert_eq!((again.digits().to_string(), again.reveal()), (digits, nonce));
    let linked = again.approved(&approval).unwrap();
    assert_eq!(linked.account_key.verifying_key(), stage.alice.key.verifying_key());
    let other = Device::new(stage.alice.id(), "tablet", &BOTH_SUITES, &mut rng(9));
    let other = Revealing::again(stage.alice.id(), other.entry, kept.clone()).unwrap();
    assert_eq!(other.approved(&approval).unwrap_err(), NewcomerError::EntryMissing);
    let damaged = Kept { ephemeral: halcyon_crypto::Secret::fill_with(|_| ()), ..kept };
    let damaged = Revealing::again(stage.alice.id(), stage.tablet.entry.clone(), damaged);
    assert!(matches!(damaged.err(), Some(NewcomerError::Damaged(_))));
}

/// LNK-8, DIR-4: while the digits were typed, the laptop left; the phone completes with the newer list.
#[test]
fn a_list_that_moved_on_is_no_obstacle() {
    let stage = Stage::new();
    let (revealing, approved) = stage.approve();
    let first_try = approved.complete(&stage.alice.key, &stage.alice.list, NOW).unwrap();
    let moved_on = stage.alice.list.next().without(stage.alice.devices[1].id()).sign(&stage.alice.key, NOW).unwrap();
    let second_try = approved.complete(&stage.alice.key, &moved_on, NOW).unwrap();
    assert_eq!(first_try.sealed, second_try.sealed);
    assert_eq!((second_try.list.version(), second_try.list.devices().len()), (4, 2));
    let approval = Approval {
        device_list: second_try.list.encode(),
        sealed: second_try.sealed,
        push_token: push_token(stage.tablet.id()),
    };
    assert!(revealing.approved(&approval).is_ok());
}

/// LNK-2: what is not a device's own entry for this account is not even asked about.
#[test]
fn a_request_is_examined_before_anybody_is_asked() {
    let stage = Stage::new();
    let good = stage.newcomer().request();
    assert_eq!(stage.examine(&good).unwrap().entry().name(), "tablet");
    let unsigned = LinkRequest { entry_signature: Bytes::from_static(&[1; 64]), ..good.clone() };
    assert_eq!(stage.examine(&unsigned).unwrap_err(), ApproverError::Entry(EntryError::Unsigned));
    let off_curve = LinkRequest { ephemeral: [0xff; 32], ..good.clone() };
    assert!(matches!(stage.examine(&off_curve), Err(ApproverError::Ephemeral(_))));
    let laptop = &stage.alice.devices[1].entry;
    let again = LinkRequest {
        entry: laptop.bytes().clone(),
        entry_signature: Bytes::copy_from_slice(laptop.signature().as_bytes()),
        ..good.clone()
    };
    assert_eq!(stage.examine(&again).unwrap_err(), ApproverError::AlreadyLinked);
    let stranger = Candidate::examine(&stage.alice.list, stage.tablet.id(), &good);
    assert_eq!(stranger.unwrap_err(), ApproverError::NotTrusted);
}

/// LNK-5: a nonce, key, entry or account other than what was committed to is an attack.
#[test]
fn a_broken_commitment_is_an_attack() {
    let stage = Stage::new();
    let newcomer = stage.newcomer();
    let request = newcomer.request();
    let (challenged, challenge) = stage.examine(&request).unwrap().challenge(&mut rng(3));
    let mut nonce = newcomer.challenged(challenge).unwrap().reveal();
    nonce[31] ^= 1;
    assert_eq!(challenged.revealed(nonce).map(|_| ()).unwrap_err(), ApproverError::Tampered);

    // Mallory puts a key of her own in the place of the tablet's.
    let mallory = stage.newcomer_of_mallory();
    let swapped = LinkRequest { ephemeral: mallory.request().ephemeral, ..request };
    let (challenged, challenge) = stage.examine(&swapped).unwrap().challenge(&mut rng(3));
    let honest = stage.newcomer().challenged(challenge).unwrap();
    assert_eq!(challenged.revealed(honest.reveal()).map(|_| ()).unwrap_err(), ApproverError::Tampered);
}

impl Stage {
    fn newcomer_of_mallory(&self) -> Newcomer {
        Newcomer::begin(self.alice.id(), self.tablet.entry.clone(), &mut rng(66))
    }
}

/// LNK-6: Mallory relays with keys of her own towards both sides; the screens show different digits.
#[test]
fn someone_in_between_gives_different_digits() {
    let stage = Stage::new();
    let tablet = stage.newcomer();
    let mallory = stage.newcomer_of_mallory();
    let (towards_phone, challenge): (Challenged, Challenge) =
        stage.examine(&mallory.request()).unwrap().challenge(&mut rng(3));
    let forged = Challenge { ephemeral: mallory.request().ephemeral, ..challenge };
    let on_tablet = tablet.challenged(forged).unwrap();
    let on_phone = towards_phone.revealed(mallory.challenged(challenge).unwrap().reveal()).unwrap();
    assert!(matches!(on_phone.typed(&on_tablet.digits().to_string()), Typed::Wrong(_)));
}

/// LNK-7: three wrong tries end it; a slip of the finger does not.
#[test]
fn three_wrong_tries_end_the_link() {
    let stage = Stage::new();
    let (revealing, comparing) = stage.up_to_digits();
    let right = revealing.digits().to_string();
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let Typed::Wrong(comparing) = comparing.typed(wrong) else { panic!("first try") };
    assert_eq!((comparing.tries_left(), comparing.entry().name()), (2, "tablet"));
    let Typed::Wrong(comparing) = comparing.typed("") else { panic!("second try") };
    assert!(matches!(comparing.typed(wrong), Typed::Ended));

    let (revealing, comparing) = stage.up_to_digits();
    let Typed::Wrong(comparing) = comparing.typed(wrong) else { panic!("first try") };
    let (left, end) = right.split_at(3);
    assert!(matches!(comparing.typed(&format!("{left} {end}")), Typed::Approved(_)));
    drop(revealing);
}

/// LNK-9, LNK-10: whatever the server changes in the approval, the tablet ends with an error.
#[test]
fn an_altered_approval_is_refused() {
    let stage = Stage::new();
    let refused = |change: &dyn Fn(&mut Approval)| {
        let (revealing, mut approval) = stage.approval();
        change(&mut approval);
        revealing.approved(&approval).map(|_| ()).unwrap_err()
    };
    let alter_sealed = |approval: &mut Approval| {
        let mut sealed = approval.sealed.to_vec();
        sealed[3] ^= 1;
        approval.sealed = sealed.into();
    };
    assert_eq!(refused(&alter_sealed), NewcomerError::Unauthentic);
    assert_eq!(refused(&|approval| approval.sealed.clear()), NewcomerError::Unauthentic);
    assert!(matches!(refused(&|approval| approval.device_list.clear()), NewcomerError::List(_)));
    assert_eq!(refused(&|approval| approval.device_list = stage.alice.list.encode()), NewcomerError::EntryMissing);
    let mallory = Account::with(&["phone"], &mut rng(66));
    assert_eq!(refused(&|approval| approval.device_list = mallory.list.encode()), NewcomerError::OtherAccount);
    let renamed = stage.tablet.entry.entry().renamed("Tablet").unwrap();
    let renamed = crate::CountersignedEntry::sign(renamed, stage.alice.id(), &stage.tablet.key).unwrap();
    let renamed = stage.alice.list.next().with(renamed).sign(&stage.alice.key, NOW).unwrap();
    assert_eq!(refused(&|approval| approval.device_list = renamed.encode()), NewcomerError::EntryMissing);
    let without_phone = stage.alice.list.next().with(stage.tablet.entry.clone()).without(stage.phone());
    let without_phone = without_phone.sign(&stage.alice.key, NOW).unwrap();
    assert_eq!(refused(&|approval| approval.device_list = without_phone.encode()), NewcomerError::ApproverMissing);
}

/// LNK-10: a phone that hands over another key than the list's is found out.
#[test]
fn a_foreign_account_key_is_refused() {
    let stage = Stage::new();
    let (revealing, approved) = stage.approve();
    let honest = approved.complete(&stage.alice.key, &stage.alice.list, NOW).unwrap();
    let foreign = approved.seal_for_test(&fixed_key(1));
    let approval =
        Approval { device_list: honest.list.encode(), sealed: foreign, push_token: push_token(stage.tablet.id()) };
    assert_eq!(revealing.approved(&approval).map(|_| ()).unwrap_err(), NewcomerError::ForeignKey);
}

/// LNK-4, LNK-3: a challenge with a key off the curve ends it on the tablet.
#[test]
fn a_challenge_off_the_curve_is_refused() {
    let stage = Stage::new();
    let challenge = Challenge { approver: stage.phone(), ephemeral: [0xff; 32], nonce: [0; 32] };
    assert!(matches!(stage.newcomer().challenged(challenge), Err(NewcomerError::Challenge(_))));
}

/// LNK-1, LNK-6, LNK-9: commitment, digits and associated data, pinned.
#[test]
fn the_bytes_are_pinned() {
    use halcyon_crypto::{AgreementKey, AgreementPublic, Secret};
    use halcyon_types::AccountId;
    let secret = |byte: u8| Secret::fill_with(|bytes| *bytes = [byte; 32]);
    let (en, et) = (AgreementKey::from_secret(secret(1)).unwrap(), AgreementKey::from_secret(secret(2)).unwrap());
    let (account, tablet, phone) =
        (AccountId::from_bytes([0xa1; 16]), DeviceId::from_bytes([3; 16]), DeviceId::from_bytes([4; 16]));
    let commitment = transcript::commit(account, b"entry", en.compact(), &secret(5));
    assert_eq!(hex::encode(commitment.as_bytes()), "306a1c75ce5208870eee7990bd3e437f617df6b65f368305457ae6259577e930");
    let transcript = Transcript {
        account,
        entry: b"entry",
        newcomer_ephemeral: *en.compact(),
        newcomer_nonce: [5; 32],
        approver: phone,
        approver_ephemeral: *et.compact(),
        approver_nonce: [6; 32],
    };
    assert_eq!(transcript.digits().to_string(), "683648");
    let by_phone = transcript.transfer_key(&et, &AgreementPublic::from_compact(en.compact()).unwrap());
    let by_tablet = transcript.transfer_key(&en, &AgreementPublic::from_compact(et.compact()).unwrap());
    assert!(by_phone.ct_eq(&by_tablet));
    assert_eq!(hex::encode(by_phone.expose()), "98e054d2febd2179182e9d12b5f404c56ca5f1c8bab4e09cf214bc7c34b2450e");
    assert_eq!(
        hex::encode(transcript::associated_data(account, tablet, phone)),
        "a1".repeat(16) + &"03".repeat(16) + &"04".repeat(16)
    );
}
