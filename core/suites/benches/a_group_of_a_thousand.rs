//! A group of 1,000 people: what it takes to learn of it, to know who is in it, and to seal one message for a device of each, beside the
//! signatures that nobody can do without.
//!
//! `cargo bench -p halcyon-suites --bench a_group_of_a_thousand [-- --quick]`. Both sides in one run; the figures are medians.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reads the clock and prints its figures"
)]

use std::time::{Duration, Instant};

use halcyon_content::{
    Content, ConversationMembers, Kind, Message, encode,
    group::{Change, Draft, GroupLog, GroupName, GroupRef, Member, Op, SignedChange, VerifiedChange},
};
use halcyon_crypto::{Label, SigningKey};
use halcyon_suites::{DeviceKeys, Outgoing, PeerDevice, Session, Suite, choice, pq3::AuthData};
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, MessageId, PushToken, SuiteId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MEMBERS: usize = 1_000;
/// People that one change adds.
const AT_ONCE: usize = 100;

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    let rounds = if quick { 3 } else { 50 };
    let key = SigningKey::generate_compact(&mut StdRng::seed_from_u64(1));
    let log = group(&key);
    let signed: Vec<SignedChange> = log.changes().map(|change| change.signed().clone()).collect();
    assert_eq!(log.state().members.len(), MEMBERS);
    println!("a group of {MEMBERS}: {} changes, {} bytes", log.count(), log.encode().len());

    let verified = || -> Vec<VerifiedChange> { signed.iter().map(|one| one.clone().verify().unwrap()).collect() };
    row("verify all changes of a group that is new", median(rounds, || drop(verified())));
    let changes = verified();
    row(
        "gather them and play them",
        median(rounds, || {
            assert_eq!(GroupLog::gather(log.group(), &changes).unwrap().state().members.len(), MEMBERS);
        }),
    );
    let stored = log.encode();
    row(
        "read the group as it is stored, and play it",
        median(rounds, || {
            assert_eq!(GroupLog::decode(&stored).unwrap().state().version, log.state().version);
        }),
    );
    busy(&key, &log, rounds);
    message(&log, if quick { 50 } else { MEMBERS });
}

/// As many changes as one account can make.
fn busy(key: &SigningKey, log: &GroupLog, rounds: usize) {
    let mut log = log.clone();
    let mut number = 0_u64;
    while let Some(change) = log.next(draft(number), Op::Rename(GroupName::new(format!("number {number}")).unwrap())) {
        log.merge(SignedChange::sign(change, key).unwrap().verify());
        number += 1;
    }
    println!("with all changes that one account can make: {} changes, {} bytes", log.count(), log.encode().len());
    row("play it", median(rounds, || assert!(log.state().version > number)));
}

/// One message, sealed for a device of each.
fn message(log: &GroupLog, devices: usize) {
    let mut rng = StdRng::seed_from_u64(2);
    let own = DeviceKeys::generate(&mut rng, &[Suite::Pq3], NOW);
    let peers: Vec<PeerDevice> = (0..devices).map(|number| peer(number, &mut rng)).collect();
    let group = GroupRef { id: log.group(), hash: log.hash() };
    let content = Content {
        message_id: MessageId::from_bytes([1; 16]),
        sent: NOW,
        members: ConversationMembers::in_group(handle(0), group),
        kind: Kind::Message(Message::text("hello, everybody")),
        place: None,
    };
    let plaintext = encode(&content).unwrap();
    println!("a message of it: {} bytes, however many read it", plaintext.len());
    let mut sessions = vec![Session::default(); devices];
    for turn in ["the first message, which begins every session", "the second message"] {
        let begun = Instant::now();
        let mut bytes = 0;
        for (session, peer) in sessions.iter_mut().zip(&peers) {
            let outgoing = Outgoing { account: AccountId::from_bytes([1; 16]), auth_data: &auth_data(), now: NOW };
            let taken = std::mem::take(session);
            let (sealed, next) = taken.seal(pq3(), &own, peer, &outgoing, &mut rng, &plaintext).unwrap();
            bytes += sealed.bytes.len();
            *session = next;
        }
        let took = begun.elapsed();
        println!("{turn}, sealed for {devices} devices: {took:?}, {bytes} bytes");
    }
    let begun = Instant::now();
    for _ in 0..devices {
        std::hint::black_box(own.device.sign(Label::GroupChange, &[&plaintext]));
    }
    println!("beside it: {devices} signatures alone: {:?}", begun.elapsed());
}

fn group(key: &SigningKey) -> GroupLog {
    let create = Op::Create { name: GroupName::new("everybody").unwrap(), members: members(1, AT_ONCE) };
    let Draft { device, made, nonce, .. } = draft(0);
    let change = Change { group: None, parents: Vec::new(), author: handle(0), device, made, nonce, op: create };
    let mut log = GroupLog::begin(SignedChange::sign(change, key).unwrap().verify().unwrap()).unwrap();
    ACCOUNT.set(log.beginning().author()).unwrap();
    let mut number = 1 + AT_ONCE;
    while number < MEMBERS {
        let change = log.next(draft(number as u64), Op::Add(members(number, AT_ONCE.min(MEMBERS - number)))).unwrap();
        log.merge(SignedChange::sign(change, key).unwrap().verify());
        number += AT_ONCE;
    }
    log
}

static ACCOUNT: std::sync::OnceLock<AccountId> = std::sync::OnceLock::new();

fn draft(number: u64) -> Draft {
    let account = ACCOUNT.get().copied().unwrap_or(AccountId::from_bytes([0; 16]));
    let nonce = u128::from(number).to_be_bytes();
    Draft { account, device: DeviceId::from_bytes([1; 16]), made: NOW, nonce }
}

fn members(from: usize, count: usize) -> Vec<Member> {
    let member = |number: usize| Member {
        account: AccountId::from_bytes((number as u128).to_be_bytes()),
        handle: handle(number),
    };
    (from..from + count).map(member).collect()
}

fn handle(number: usize) -> Handle {
    Handle::parse(&format!("member{number}@example.org")).unwrap()
}

fn peer(number: usize, rng: &mut StdRng) -> PeerDevice {
    let keys = DeviceKeys::generate(rng, &[Suite::Pq3], NOW);
    let account = AccountId::from_bytes((number as u128).to_be_bytes());
    let bundle = keys.pq3.as_ref().map(|ring| ring.record());
    PeerDevice::new(keys.device.verifying_key().clone(), None).with_pq3(account, bundle)
}

fn pq3() -> halcyon_suites::ChosenSuite {
    let all = [SuiteId::PQ3];
    choice::choose(&[Suite::Pq3], &all, None).unwrap()
}

fn auth_data() -> AuthData {
    AuthData {
        envelope: EnvelopeId::from_bytes([9; 16]),
        sender: handle(0),
        recipient: handle(1),
        sender_push_token: None,
        recipient_push_token: PushToken::from_bytes([1; 32]),
    }
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds).map(once).collect();
    times.sort();
    times[times.len() / 2]
}

fn row(what: &str, took: Duration) {
    println!("{what}: {took:?}");
}
