//! Everything that says which devices there are and who may ask: entries, lists, lookups, prekeys, alerts, tokens,
//! request headers, and what a client keeps of them.
//!
//! Signatures stop a fuzzer as they stop an attacker. Where the code behind one matters, the fixed people sign whatever
//! the fuzzer wrote: an account's own devices may be hostile, too.
//!
//! - What decodes is encoded, and decodes to the same.
//! - What a server accepts, a client can read, and the other way round: both halves judge alike (DIR-1, DIR-10).
//! - An answer that is believed is remembered, and believed again (DIR-6).
//! - Tokens and requests are good for whom they were made for, and for nobody else (DIR-31, ACC-2).

use bytes::Bytes;
use halcyon_crypto::{Label, labels::fixed};
use halcyon_directory::{
    CountersignedEntry, DeviceEntry, KnownAccount, KnownHandle, SignedList, VerifiedDevices,
    alert::{Alert, AlertEvent, DeviceNotice},
    authority,
    entry::{NAME_BYTES_MAX, SUITES_MAX},
    list::DEVICES_MAX,
    lookup::{Addresses, LookupRequest, ServedAccount, ServedAddress, encode_response},
    prekeys::{self, Prekey},
    report::{Report, ReportedPart, SignedReport},
    request::{RequestTarget, SignedRequest},
    resolver::{self, Acceptance, Change, Known},
    session::{SESSION_LIFETIME, SessionKey},
    wire,
};
use halcyon_suites::{PairIdentity, pair_ec::SignedPrekey};
use halcyon_types::{AccountId, LinkId, MessageId, SuiteId, Timestamp};
use prost::Message as _;

use crate::{
    input::{Input, piece},
    people::{ALICE, BOB, NOW, SERVER, rng, secret},
};

/// Reads the first byte as the choice of a structure, and the rest as it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(15) {
        0 => entry(input.rest()),
        1 => countersigned(&mut input),
        2 => signed_list(input.rest()),
        3 => list_of_a_hostile_account(input.rest()),
        4 => lookup_request(input.rest()),
        5 => lookup_response(input.rest()),
        6 => lying_answer(&mut input),
        7 => upload(input.rest()),
        8 => prekey_record(&mut input),
        9 => alert(input.rest()),
        10 => session_token(input.rest()),
        11 => request(&mut input),
        12 => kept(&mut input),
        13 => pair_identity(input.rest()),
        _ => report(&mut input),
    }
}

fn entry(bytes: &[u8]) {
    let Ok(entry) = DeviceEntry::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(entry.encode().len() <= bytes.len(), "the shortest encoding is ours");
    check_entry(&entry);
}

fn check_entry(entry: &DeviceEntry) {
    assert_eq!(DeviceEntry::decode(entry.encode()).as_ref(), Ok(entry), "an entry decodes to itself");
    // DIR-1
    assert!((1..=NAME_BYTES_MAX).contains(&entry.name().len()) && !entry.name().contains(char::is_control));
    assert!((1..=SUITES_MAX).contains(&entry.suites().len()) && entry.suites().is_sorted_by(|a, b| a < b));
    assert_eq!(entry.pair_identity().is_some(), entry.suites().contains(&SuiteId::PAIR));
    assert_eq!(entry.strongest(), *entry.suites().iter().max().unwrap());
    assert_eq!(entry.id(), halcyon_directory::device_id(entry.key().compact()));
}

/// An entry that Alice's phone signs, whatever is in it: it is hers, or it is none.
fn countersigned(input: &mut Input<'_>) {
    let own = input.choice(2) == 0;
    let bytes = Bytes::copy_from_slice(input.rest());
    let (phone, account) = (&ALICE.phone, ALICE.account());
    let signature = if own {
        phone.keys.device.sign(Label::DeviceEntry, &[account.as_bytes(), &bytes])
    } else {
        *phone.entry.signature()
    };
    let Ok(entry) = CountersignedEntry::verify(account, bytes.clone(), signature.as_bytes()) else { return };
    assert_eq!(entry.bytes(), &bytes, "what was signed is kept as it was signed");
    assert_eq!(entry.entry().id(), phone.id(), "a device signs for itself alone");
    assert!(own || bytes == phone.entry.bytes(), "a signature is good for what was signed");
    // DIR-2
    assert!(CountersignedEntry::verify(BOB.account(), bytes, signature.as_bytes()).is_err(), "and for one account");
    check_entry(entry.entry());
}

fn signed_list(bytes: &[u8]) {
    let Ok(list) = SignedList::decode(Bytes::copy_from_slice(bytes)) else { return };
    check_list(&list);
}

/// A list that Alice's account signs, whatever is in it.
fn list_of_a_hostile_account(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let signature = ALICE.key.sign(Label::DeviceList, &[&bytes]);
    let Ok(list) = SignedList::verify(bytes, signature.as_bytes()) else { return };
    check_list(&list);
    let first = authority::register(list.clone());
    assert_eq!(first.is_ok(), list.version() == 1 && list.devices().len() == 1, "ACC-32");
    // What a server holds of Alice is version 2 with two devices: no other may join without a link (LNK-8).
    if let Ok(update) = authority::update(&ALICE.list, list.clone(), ALICE.phone.id()) {
        assert_eq!(update.list.version(), 3, "DIR-4");
        assert!(update.added.is_empty() && update.removed.len() < 2, "DIR-5");
    }
    let (known, _) = resolver::accept_list(None, ALICE.list.clone(), NOW).unwrap();
    if let Ok((known, changes)) = resolver::accept_list(Some(&known), list.clone(), NOW) {
        // DIR-6
        assert!(list.version() > 2 || list.bytes() == ALICE.list.bytes(), "a list never goes back");
        assert_eq!(known.list(), &list);
        assert!(!changes.iter().any(|change| matches!(change, Change::FirstMet { .. })));
        check_known(&known);
    }
}

fn check_list(list: &SignedList) {
    assert_eq!(SignedList::decode(list.encode()).as_ref(), Ok(list), "a list decodes to itself");
    assert!((1..=DEVICES_MAX).contains(&list.devices().len()) && list.version() > 0, "DIR-3");
    assert!(list.devices().is_sorted_by(|a, b| a.entry().id() < b.entry().id()), "DIR-3");
    for device in list.devices() {
        assert_eq!(list.device(device.entry().id()), Some(device), "each device is found");
        check_entry(device.entry());
    }
}

fn lookup_request(bytes: &[u8]) {
    let Ok(request) = LookupRequest::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!((1..=20).contains(&request.handles().len()), "DIR-20");
    assert_eq!(LookupRequest::decode(request.encode()), Ok(request), "a request decodes to itself");
}

fn lookup_response(bytes: &[u8]) {
    let asked = LookupRequest::new(vec![BOB.handle.clone()]).unwrap();
    let Ok(answers) = asked.read_response(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(answers.len(), 1, "as many answers as questions");
    let Some(answer) = &answers[0].account else { return };
    let Ok(accepted) = resolver::accept(Known::default(), &BOB.handle, answer, NOW) else { return };
    assert_eq!(answer.claimed_account(), Some(accepted.known.account()), "the claim was true");
    check_accepted(&accepted);
}

/// A server that says about Bob what it likes, around lists that Bob or Alice did sign.
fn lying_answer(input: &mut Input<'_>) {
    let list = if input.choice(2) == 0 { &BOB.list } else { &ALICE.list };
    let Ok(said) = wire::AccountAnswer::decode(input.rest()) else { return };
    let account = wire::AccountAnswer { list: Some(list.to_wire()), ..said };
    let answer = wire::LookupAnswer { handle: BOB.handle.as_uri().to_owned(), account: Some(account) };
    let response = wire::LookupResponse { answers: vec![answer] }.encode_to_vec();
    lookup_response(&response);
    // DIR-7: who knows Bob does not take Alice for him, whatever else is said.
    let asked = LookupRequest::new(vec![BOB.handle.clone()]).unwrap();
    let answers = asked.read_response(response.into()).unwrap();
    let handle = KnownHandle::first(BOB.handle.clone(), BOB.account(), NOW);
    let known = Known { handle: Some(&handle), account: None };
    let believed = resolver::accept(known, &BOB.handle, answers[0].account.as_ref().unwrap(), NOW);
    assert!(believed.is_err() || list.account() == BOB.account(), "a handle does not move");
}

fn check_accepted(accepted: &Acceptance) {
    let list = accepted.known.list();
    check_known(&accepted.known);
    assert_eq!(KnownHandle::decode(&accepted.handle.encode()).as_ref(), Ok(&accepted.handle));
    assert_eq!(Addresses::decode(&accepted.addresses.encode()).as_ref(), Some(&accepted.addresses));
    // DIR-9: the list decides who is there.
    let ids = |devices: &VerifiedDevices| devices.devices().iter().map(|d| d.device_id()).collect::<Vec<_>>();
    let listed: Vec<_> = list.devices().iter().map(|device| device.entry().id()).collect();
    assert_eq!(ids(&accepted.devices), listed);
    assert_eq!(ids(&VerifiedDevices::from_kept(&accepted.known, &accepted.addresses)), listed);
}

fn check_known(known: &KnownAccount) {
    assert_eq!(KnownAccount::decode(&known.encode()).as_ref(), Ok(known), "what is kept reads as it was");
    let again = resolver::accept_list(Some(known), known.list().clone(), known.accepted());
    assert_eq!(again, Ok((known.clone(), Vec::new())), "what was believed is believed again");
}

fn upload(bytes: &[u8]) {
    let Ok(records) = Prekey::decode_upload(Bytes::copy_from_slice(bytes)) else { return };
    let again = Prekey::decode_upload(Prekey::encode_upload(&records));
    assert_eq!(again.as_ref(), Ok(&records), "an upload decodes to itself");
    let key = ALICE.phone.keys.device.verifying_key();
    let checked = prekeys::check_all(key, &records).is_ok();
    assert_eq!(checked, records.iter().all(|prekey| prekeys::check(key, prekey).is_ok()));
}

/// DIR-10, PEC-3: a server takes exactly the records that a sender can seal to.
fn prekey_record(input: &mut Input<'_>) {
    let phone = &ALICE.phone.keys.device;
    let record = if input.choice(2) == 0 {
        input.rest().to_vec()
    } else {
        let (x, time): ([u8; 32], [u8; 8]) = (input.array(), input.array());
        let signature = phone.sign_raw(&[fixed::PAIR_EC_PREKEY, &x, &time]);
        let head = [&[0x0a, 32], &x[..], &[0x12, 64], signature.as_bytes(), &[0x19], &time];
        [&head.concat(), input.rest()].concat()
    };
    let by_server = prekeys::check(
        phone.verifying_key(),
        &Prekey { suite: SuiteId::PAIR_EC, record: Bytes::copy_from_slice(&record) },
    );
    let by_sender = SignedPrekey::verify(&record, phone.verifying_key());
    assert_eq!(by_server.is_ok(), by_sender.is_ok(), "server {by_server:?}, sender {:?}", by_sender.map(|_| ()));
    if let Ok(prekey) = SignedPrekey::verify(&record, phone.verifying_key()) {
        assert!(prekey.time_s().is_finite());
        assert_eq!(prekey.device(), phone.verifying_key().compact());
        let _ = prekey.is_fresh(NOW);
    }
}

fn alert(bytes: &[u8]) {
    let Ok(alert) = Alert::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(alert.encode().len() <= bytes.len(), "the shortest encoding is ours");
    assert_eq!(Alert::decode(alert.encode()), Ok(alert), "an alert decodes to itself");
}

/// ACC-60: what a device says is believed of that device alone, is safe to print, and can be said again.
fn report(input: &mut Input<'_>) {
    let phone = &ALICE.phone.keys.device;
    let bytes = if input.choice(2) == 0 {
        Bytes::copy_from_slice(input.rest())
    } else {
        let report = Bytes::copy_from_slice(input.rest());
        let signature = Bytes::copy_from_slice(phone.sign(Label::Report, &[&report]).as_bytes());
        wire::SignedReport { report, signature }.encode_to_vec().into()
    };
    let Ok(signed) = SignedReport::verify(bytes.clone(), phone.verifying_key()) else { return };
    assert!(SignedReport::verify(bytes, BOB.phone.keys.device.verifying_key()).is_err(), "believed of somebody else");
    let said = signed.report();
    assert!(said.parts.iter().all(|part| !part.text.contains(['\u{1b}', '\u{202e}'])), "a text moves the cursor");
    let again = SignedReport::sign(said.clone(), phone).expect("what is known of a report is no larger than all of it");
    assert_eq!(again.report(), said);
}

/// DIR-31: the only token that gives Alice the right to write to Bob is the one that was made for that.
fn session_token(token: &[u8]) {
    let key = SessionKey::from_secret(secret(9));
    for (asker, recipient) in [(&*ALICE, &*BOB), (&*BOB, &*ALICE)] {
        if key.check(token, asker.account(), recipient.account(), NOW).is_err() {
            continue;
        }
        let expires = Timestamp::from_millis(u64::from_be_bytes(*token.first_chunk().unwrap()));
        let minted = key.mint(asker.account(), recipient.account(), expires.minus(SESSION_LIFETIME));
        assert_eq!(minted.token.as_bytes(), token, "a token that nobody made");
        assert!(NOW < expires);
    }
}

/// Five header values, one a line, then the method, the path, and the body.
fn request(input: &mut Input<'_>) {
    let text = String::from_utf8_lossy(input.piece());
    let lines: Vec<&str> = text.split('\n').collect();
    let [device, time, nonce, audience, signature, ..] = lines[..] else { return };
    let header = |name: &str| match name {
        "Halcyon-Device" => Some(device),
        "Halcyon-Time" => Some(time),
        "Halcyon-Nonce" => Some(nonce),
        "Halcyon-Audience" => Some(audience),
        "Halcyon-Signature" => Some(signature),
        _ => None,
    };
    let Ok(request) = SignedRequest::from_headers(header) else { return };
    let written = request.headers();
    let again = SignedRequest::from_headers(|name| {
        written.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    });
    assert_eq!(again.as_ref(), Ok(&request), "headers read as they were written");
    let target = RequestTarget { body: input.rest(), ..REQUEST_TARGET };
    let key = ALICE.phone.keys.device.verifying_key();
    if let Ok(authentic) = request.verify(Some(key), SERVER, target, NOW) {
        assert_eq!(authentic.device(), request.claimed_device());
        assert_eq!(target.body, REQUEST_TARGET.body, "a signature is good for one body");
        assert!(request.verify(Some(BOB.phone.keys.device.verifying_key()), SERVER, target, NOW).is_err());
    }
    assert!(request.verify(None, SERVER, target, NOW).is_err(), "nobody knows this device");
}

const REQUEST_TARGET: RequestTarget<'_> =
    RequestTarget { method: "POST", path_and_query: "/v1/lookup", body: b"who is bob" };

/// What a client's store gives back after damage.
fn kept(input: &mut Input<'_>) {
    let kind = input.choice(3);
    let bytes = input.rest();
    match kind {
        0 => {
            let Ok(known) = KnownAccount::decode(bytes) else { return };
            assert_eq!(KnownAccount::decode(&known.encode()).as_ref(), Ok(&known));
            check_list(known.list());
        }
        1 => {
            let Ok(known) = KnownHandle::decode(bytes) else { return };
            assert_eq!(KnownHandle::decode(&known.encode()), Ok(known));
        }
        _ => {
            let Some(addresses) = Addresses::decode(bytes) else { return };
            assert_eq!(Addresses::decode(&addresses.encode()), Some(addresses));
        }
    }
}

/// DIR-1, PAIR-3: a server lists exactly the identities that a sender can seal to.
fn pair_identity(blob: &[u8]) {
    let key = ALICE.phone.keys.device.verifying_key();
    let listed = DeviceEntry::new(key, "phone", &[SuiteId::PAIR], Some(Bytes::copy_from_slice(blob)), NOW);
    let read = PairIdentity::from_bytes(blob);
    assert_eq!(listed.is_ok(), read.is_ok(), "the server and a sender judge an identity alike");
    if let Ok(identity) = read {
        assert_eq!(identity.as_bytes()[..], *blob, "a blob has one form");
    }
}

/// What an honest server answers about Bob to Alice.
fn served() -> ServedAccount {
    let address = |device: &crate::people::Device| ServedAddress {
        device: device.id(),
        push_token: device.push_token(),
        prekeys: vec![prekey(device)],
    };
    ServedAccount {
        list: BOB.list.clone(),
        addresses: vec![address(&BOB.phone), address(&BOB.laptop)],
        session: SessionKey::from_secret(secret(9)).mint(ALICE.account(), BOB.account(), NOW),
    }
}

fn prekey(device: &crate::people::Device) -> Prekey {
    Prekey { suite: SuiteId::PAIR_EC, record: Bytes::copy_from_slice(device.keys.prekeys.record()) }
}

/// What Alice's phone says of a message of Bob's.
pub(crate) fn honest_report() -> SignedReport {
    let report = Report {
        account: ALICE.account(),
        device: ALICE.phone.id(),
        reported: NOW,
        note: "again".into(),
        message: MessageId::from_bytes([1; 16]),
        sender: BOB.handle.clone(),
        sender_account: BOB.account(),
        sender_device: BOB.phone.id(),
        recipient: Some(ALICE.handle.clone()),
        suite: Some(SuiteId::PQ3),
        sent: NOW,
        received: NOW,
        subject: "you".into(),
        parts: vec![ReportedPart { kind: "text".into(), text: "worse".into(), earlier: vec!["bad".into()] }],
    };
    SignedReport::sign(report, &ALICE.phone.keys.device).unwrap()
}

/// One honest structure of each kind, and some that only a signature away from honest.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let (phone, laptop) = (&ALICE.phone, &ALICE.laptop);
    let response = encode_response(&[(BOB.handle.clone(), Some(served()))]);
    let nobody = encode_response(&[(BOB.handle.clone(), None)]);
    let asked = LookupRequest::new(vec![BOB.handle.clone(), ALICE.handle.clone()]).unwrap();
    let answer = wire::LookupResponse::decode(response.clone()).unwrap().answers.remove(0).account.unwrap();
    let believed = LookupRequest::new(vec![BOB.handle.clone()]).unwrap().read_response(response.clone()).unwrap();
    let believed = resolver::accept(Known::default(), &BOB.handle, believed[0].account.as_ref().unwrap(), NOW).unwrap();
    let third = ALICE.list.next().without(laptop.id()).sign(&ALICE.key, NOW).unwrap();
    let signed = SignedRequest::sign(phone.id(), &phone.keys.device, SERVER, REQUEST_TARGET, NOW, &mut rng(2));
    let headers = signed.headers().map(|(_, value)| value).join("\n");
    let notice = DeviceNotice { device: phone.id(), name: "phone".into(), list_version: 2 };
    let alerts = [
        AlertEvent::DeviceAdded(notice.clone()),
        AlertEvent::DeviceRemoved(notice),
        AlertEvent::HandleAdded(ALICE.handle.clone()),
        AlertEvent::HandleRemoved(BOB.handle.clone()),
        AlertEvent::LinkRequested { link: LinkId::from_bytes([5; 16]), name: "tablet".into() },
        AlertEvent::Unknown,
    ];
    let record = phone.keys.prekeys.record();
    let minted = SessionKey::from_secret(secret(9)).mint(ALICE.account(), BOB.account(), NOW);
    let foreign = SessionKey::from_secret(secret(9)).mint(AccountId::from_bytes([1; 16]), BOB.account(), NOW);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut add = |kind: u8, parts: &[&[u8]]| seeds.push([&[kind], &parts.concat()[..]].concat());
    add(0, &[phone.entry.bytes()]);
    add(0, &[laptop.entry.bytes()]);
    add(1, &[&[0], phone.entry.bytes()]);
    add(1, &[&[1], phone.entry.bytes()]);
    add(2, &[&ALICE.list.encode()]);
    add(3, &[ALICE.list.bytes()]);
    add(3, &[third.bytes()]);
    add(3, &[SignedList::first(&ALICE.key, phone.entry.clone(), NOW).unwrap().bytes()]);
    add(4, &[&asked.encode()]);
    add(5, &[&response]);
    add(5, &[&nobody]);
    for who in 0..2 {
        add(6, &[&[who], &wire::AccountAnswer { list: None, ..answer.clone() }.encode_to_vec()]);
    }
    add(7, &[&Prekey::encode_upload(&[prekey(phone)])]);
    add(8, &[&[0], record]);
    add(8, &[&[1], &record[2..34], &record[101..109]]);
    for event in alerts {
        add(9, &[&Alert { time: NOW, event }.encode()]);
    }
    add(10, &[minted.token.as_bytes()]);
    add(10, &[foreign.token.as_bytes()]);
    add(11, &[&piece(headers.as_bytes()), REQUEST_TARGET.body]);
    add(12, &[&[0], &believed.known.encode()]);
    add(12, &[&[1], &believed.handle.encode()]);
    add(12, &[&[2], &believed.addresses.encode()]);
    add(13, &[phone.keys.pair.as_ref().unwrap().identity().as_bytes()]);
    let report = honest_report().encode();
    add(14, &[&[0], &report]);
    add(14, &[&[1], &wire::SignedReport::decode(report).unwrap().report]);
    seeds
}
