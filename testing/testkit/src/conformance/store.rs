//! What every client store must do. Port: `halcyon_client::ports::store`.
//!
//! [`run`] takes a world in which a store can be opened, closed and opened again. Each check is a small story and panics with what
//! went wrong.

use bytes::Bytes;
use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Change, Commit, Conversation, KnownAccountRecord, KnownHandleRecord, LinkRecord,
    MessageKind, NewMessage, Origin, OutboxEnvelope, OutboxJob, OutboxTarget, Profile, SeenMark, Stage, Store,
    TargetState, UnopenedRecord,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::{
    AccountId, ConversationId, DeviceId, EnvelopeId, Handle, LinkId, MessageId, PushToken, SuiteId, Timestamp,
};

/// Where stores come from: each world is one profile.
pub trait World {
    /// Opens the store of this world. What was committed before is there; the one opened before was dropped.
    fn open(&mut self) -> Box<dyn Store>;
}

/// Runs every check, each in a fresh world.
///
/// # Panics
/// When the store does not do what the port says.
pub fn run<W: World>(mut fresh: impl FnMut() -> W) {
    a_new_profile_is_empty(&mut fresh());
    a_profile_survives(&mut fresh());
    a_link_survives_until_it_is_removed(&mut fresh());
    what_was_accepted_of_an_account_survives(&mut fresh());
    sessions_are_kept_by_device(&mut fresh());
    marks_are_forgotten_by_age(&mut fresh());
    unopened_deliveries_are_kept_and_forgotten(&mut fresh());
    alerts_are_shown_until_seen(&mut fresh());
    a_later_change_of_a_commit_sees_the_earlier(&mut fresh());
    wiping_leaves_nothing(&mut fresh());
    super::history::run(&mut fresh);
    super::deliveries::run(&mut fresh);
    super::groups::run(&mut fresh);
    super::own::run(&mut fresh);
    super::outbox::run(&mut fresh);
    super::repairs::run(&mut fresh);
}

fn a_new_profile_is_empty(world: &mut impl World) {
    let store = world.open();
    assert!(store.profile().unwrap().is_none());
    assert!(store.link().unwrap().is_none());
    assert!(store.own_handles().unwrap().is_empty());
    assert!(store.conversations().unwrap().is_empty());
    assert!(store.outbox_jobs().unwrap().is_empty());
    assert!(store.pending_receipts().unwrap().is_empty());
    assert!(store.alerts().unwrap().is_empty());
    assert!(store.unopened().unwrap().is_empty());
    assert_eq!(store.setting("theme").unwrap(), None);
    assert_eq!(store.known_account(account(1)).unwrap(), None);
    assert_eq!(store.known_handle(&alice()).unwrap(), None);
    assert_eq!(store.history(conversation_id(1), u64::MAX, 10).unwrap(), []);
}

fn a_profile_survives(world: &mut impl World) {
    let mut store = world.open();
    let registering = profile(Stage::Registering, None);
    put(&mut store, [Change::PutProfile(registering)]);
    put(
        &mut store,
        [
            Change::PutProfile(profile(Stage::Ready, Some(PushToken::from_bytes([9; 32])))),
            Change::AddOwnHandle(bob()),
            Change::AddOwnHandle(alice()),
            Change::AddOwnHandle(bob()),
            Change::PutSetting { name: "theme".into(), value: "dark".into() },
        ],
    );
    drop(store);

    let mut store = world.open();
    let kept = store.profile().unwrap().expect("the profile was put");
    assert_eq!(kept.stage, Stage::Ready);
    assert_eq!(kept.server, "https://example.org");
    assert_eq!((kept.account, kept.device), (account(1), device(1)));
    assert_eq!(kept.device_keys.expose(), b"device keys");
    assert!(kept.prekeys_uploaded);
    assert_eq!(kept.account_key.expose(), b"account key");
    assert_eq!(kept.push_token, Some(PushToken::from_bytes([9; 32])));
    assert_eq!(store.own_handles().unwrap(), [bob(), alice()], "in the order in which they were put, once each");
    assert_eq!(store.setting("theme").unwrap().as_deref(), Some("dark"));

    put(
        &mut store,
        [
            Change::RemoveOwnHandle(bob()),
            Change::RemoveSetting("theme".into()),
            Change::RemoveSetting("never put".into()),
        ],
    );
    assert_eq!(store.own_handles().unwrap(), [alice()]);
    assert_eq!(store.setting("theme").unwrap(), None);
}

fn link(n: u8) -> LinkRecord {
    LinkRecord {
        id: LinkId::from_bytes([n; LinkId::LEN]),
        handle: alice(),
        account: account(1),
        device_keys: SecretBytes::copy_of(b"device keys"),
        entry: vec![n, 1].into(),
        entry_signature: vec![n, 2].into(),
        ephemeral: SecretBytes::copy_of(&[n, 3]),
        nonce: SecretBytes::copy_of(&[n, 4]),
        approver: device(n),
        approver_ephemeral: [n; 32],
        approver_nonce: [n + 1; 32],
    }
}

/// LNK-11: there is one at most.
fn a_link_survives_until_it_is_removed(world: &mut impl World) {
    let mut store = world.open();
    put(&mut store, [Change::PutLink(link(1)), Change::PutLink(link(2))]);
    drop(store);
    let mut store = world.open();
    let (kept, put_last) = (store.link().unwrap().expect("a link was put"), link(2));
    assert_eq!((kept.id, &kept.handle, kept.account), (put_last.id, &put_last.handle, put_last.account));
    assert_eq!((&kept.entry, &kept.entry_signature), (&put_last.entry, &put_last.entry_signature));
    assert_eq!(kept.device_keys.expose(), put_last.device_keys.expose());
    assert_eq!((kept.ephemeral.expose(), kept.nonce.expose()), (put_last.ephemeral.expose(), put_last.nonce.expose()));
    assert_eq!(kept.approver, put_last.approver);
    assert_eq!((kept.approver_ephemeral, kept.approver_nonce), ([2; 32], [3; 32]));
    put(&mut store, [Change::RemoveLink, Change::RemoveLink]);
    assert!(store.link().unwrap().is_none());
}

/// DIR-6, DIR-7, DIR-24
fn what_was_accepted_of_an_account_survives(world: &mut impl World) {
    let mut store = world.open();
    let known = |version: u64| KnownAccountRecord { account: account(2), version, known: version.to_string().into() };
    let handle = |n: u8| KnownHandleRecord { handle: bob(), account: account(n), known: vec![n].into() };
    let addresses = AddressesRecord { account: account(2), addresses: "addresses".into(), refresh: at(5) };
    put(
        &mut store,
        [
            Change::PutKnownAccount(known(1)),
            Change::PutKnownAccount(known(u64::MAX)),
            Change::PutKnownHandle(handle(1)),
            Change::PutKnownHandle(handle(2)),
            Change::PutAddresses(addresses.clone()),
        ],
    );
    drop(store);

    let mut store = world.open();
    assert_eq!(store.known_account(account(2)).unwrap(), Some(known(u64::MAX)));
    assert_eq!(store.known_handle(&bob()).unwrap(), Some(handle(2)));
    assert_eq!(store.known_handle(&alice()).unwrap(), None);
    assert_eq!(store.addresses(account(2)).unwrap(), Some(addresses));
    put(&mut store, [Change::RemoveAddresses(account(2))]);
    assert_eq!(store.addresses(account(2)).unwrap(), None);
    assert_eq!(store.known_account(account(2)).unwrap(), Some(known(u64::MAX)), "what was accepted is kept");
}

fn sessions_are_kept_by_device(world: &mut impl World) {
    let mut store = world.open();
    let session = |bytes: &[u8]| SecretBytes::copy_of(bytes);
    put(
        &mut store,
        [
            Change::PutSession { device: device(1), session: session(b"first") },
            Change::PutSession { device: device(1), session: session(b"second") },
            Change::PutSession { device: device(2), session: session(&[7; 20_000]) },
            Change::PutSession { device: device(3), session: session(b"") },
        ],
    );
    drop(store);

    let mut store = world.open();
    let read = |store: &dyn Store, n| store.session(device(n)).unwrap().map(|session| session.expose().to_vec());
    assert_eq!(read(&*store, 1), Some(b"second".to_vec()));
    assert_eq!(read(&*store, 2), Some(vec![7; 20_000]));
    assert_eq!(read(&*store, 3), Some(Vec::new()));
    assert_eq!(read(&*store, 4), None);
    put(&mut store, [Change::RemoveSession(device(1)), Change::RemoveSession(device(4))]);
    assert_eq!(read(&*store, 1), None);
    assert_eq!(read(&*store, 2), Some(vec![7; 20_000]));
}

/// RCV-4: 31 days, then gone.
fn marks_are_forgotten_by_age(world: &mut impl World) {
    let mut store = world.open();
    let mark = |n: u8| SeenMark([n; 32]);
    put(
        &mut store,
        [
            Change::MarkSeen { mark: mark(1), at: at(10) },
            Change::MarkSeen { mark: mark(2), at: at(20) },
            Change::MarkSeen { mark: mark(1), at: at(30) },
        ],
    );
    drop(store);
    let mut store = world.open();
    assert!(
        store.has_seen(&mark(1)).unwrap() && store.has_seen(&mark(2)).unwrap() && !store.has_seen(&mark(3)).unwrap()
    );
    assert_eq!(store.seen_before(at(20)).unwrap(), 1, "a mark keeps its first time");
    put(&mut store, [Change::ForgetSeenBefore(at(20))]);
    assert!(!store.has_seen(&mark(1)).unwrap() && store.has_seen(&mark(2)).unwrap());
}

/// RCV-3: 30 days, then gone.
fn unopened_deliveries_are_kept_and_forgotten(world: &mut impl World) {
    let mut store = world.open();
    let unopened = |n, time| UnopenedRecord {
        id: envelope_id(n),
        envelope: vec![n; 3].into(),
        device: (n > 1).then(|| device(n)),
        cause: "unauthentic".into(),
        at: at(time),
        gone: n == 3,
    };
    put(
        &mut store,
        [
            Change::AddUnopened(unopened(2, 10)),
            Change::AddUnopened(unopened(1, 20)),
            Change::AddUnopened(unopened(3, 30)),
            Change::AddUnopened(unopened(2, 40)),
        ],
    );
    drop(store);
    let mut store = world.open();
    assert_eq!(store.unopened().unwrap(), [unopened(2, 10), unopened(1, 20), unopened(3, 30)]);
    put(&mut store, [Change::ForgetUnopenedBefore(at(20)), Change::RemoveUnopened(envelope_id(3))]);
    assert_eq!(store.unopened().unwrap(), [unopened(1, 20)]);
    put(&mut store, [Change::MarkUnopenedGone(envelope_id(1))]);
    assert_eq!(store.unopened().unwrap(), [UnopenedRecord { gone: true, ..unopened(1, 20) }]);
}

/// DIR-40
fn alerts_are_shown_until_seen(world: &mut impl World) {
    let mut store = world.open();
    let alert = |n, seen| AlertRecord { id: envelope_id(n), at: at(n.into()), body: vec![n].into(), seen };
    put(&mut store, [Change::AddAlert(alert(1, false)), Change::AddAlert(alert(2, false))]);
    put(
        &mut store,
        [
            Change::MarkAlertSeen(envelope_id(1)),
            Change::AddAlert(alert(1, false)),
            Change::MarkAlertSeen(envelope_id(9)),
        ],
    );
    drop(store);
    let store = world.open();
    assert_eq!(store.alerts().unwrap(), [alert(1, true), alert(2, false)]);
}

fn a_later_change_of_a_commit_sees_the_earlier(world: &mut impl World) {
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutOutboxJob(job(1, TargetState::ToSeal)),
            Change::PutOutboxEnvelope(envelope(1, 1, 0)),
            Change::RemoveOutboxJob(message_id(1)),
            Change::PutSetting { name: "a".into(), value: "1".into() },
            Change::PutSetting { name: "a".into(), value: "2".into() },
        ],
    );
    assert_eq!(store.outbox_jobs().unwrap(), []);
    assert_eq!(store.outbox_envelope(envelope_id(1)).unwrap(), None);
    assert_eq!(store.setting("a").unwrap().as_deref(), Some("2"));
}

/// LNK-10: an aborted link leaves an empty profile.
fn wiping_leaves_nothing(world: &mut impl World) {
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutProfile(profile(Stage::Ready, None)),
            Change::PutLink(link(1)),
            Change::AddOwnHandle(alice()),
            Change::AddConversation(conversation(1)),
            Change::AddMessage(message(1, 1, Origin::Peer)),
            Change::PutOutboxJob(job(1, TargetState::ToSeal)),
            Change::PutOutboxEnvelope(envelope(1, 1, 0)),
            Change::MarkSeen { mark: SeenMark([1; 32]), at: at(1) },
            Change::PutKnownHandle(KnownHandleRecord { handle: bob(), account: account(2), known: "known".into() }),
        ],
    );
    put(&mut store, [Change::Wipe]);
    drop(store);
    a_new_profile_is_empty(world);
    let store = world.open();
    assert!(!store.has_seen(&SeenMark([1; 32])).unwrap());
    assert_eq!(store.known_handle(&bob()).unwrap(), None);
    assert_eq!(store.outbox_envelope(envelope_id(1)).unwrap(), None);
}

pub(super) fn put(store: &mut Box<dyn Store>, changes: impl IntoIterator<Item = Change>) {
    let mut commit = Commit::new();
    changes.into_iter().for_each(|change| commit.push(change));
    store.commit(&commit).unwrap();
}

pub(super) fn alice() -> Handle {
    Handle::parse("mailto:alice@example.org").unwrap()
}

pub(super) fn bob() -> Handle {
    Handle::parse("mailto:bob@example.org").unwrap()
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn account(n: u8) -> AccountId {
    AccountId::from_bytes([n; 16])
}

pub(super) fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

pub(super) fn message_id(n: u8) -> MessageId {
    MessageId::from_bytes([n; 16])
}

pub(super) fn envelope_id(n: u8) -> EnvelopeId {
    EnvelopeId::from_bytes([n; 16])
}

pub(super) fn conversation_id(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

pub(super) fn conversation(n: u8) -> Conversation {
    Conversation { id: conversation_id(n), members: vec![alice(), bob()] }
}

fn profile(stage: Stage, push_token: Option<PushToken>) -> Profile {
    Profile {
        stage,
        server: "https://example.org".into(),
        account: account(1),
        device: device(1),
        device_keys: SecretBytes::copy_of(b"device keys"),
        prekeys_uploaded: stage == Stage::Ready,
        account_key: SecretBytes::copy_of(b"account key"),
        push_token,
    }
}

pub(super) fn message(n: u8, conversation: u8, origin: Origin) -> NewMessage {
    NewMessage {
        id: message_id(n),
        conversation: conversation_id(conversation),
        origin,
        kind: if n == 2 { MessageKind::Unsupported } else { MessageKind::Message },
        sender: if origin == Origin::Peer { bob() } else { alice() },
        sender_account: account(if origin == Origin::Peer { 2 } else { 1 }),
        sender_device: device(if origin == Origin::Peer { 2 } else { 1 }),
        suite: (origin != Origin::Here).then(|| SuiteId::from_u32(u32::from(n))),
        sent: at(n.into()),
        stored: at(u64::MAX >> 1),
        content: Bytes::from(vec![n; 300]),
        place: None,
        target: None,
    }
}

pub(super) fn job(n: u8, state: TargetState) -> OutboxJob {
    let target = |handle, state| OutboxTarget {
        handle,
        state,
        done: (0..n).map(device).collect(),
        attempts: n.into(),
        not_before: at(n.into()),
        only: (n == 1).then(|| device(5)),
        mends: (n == 1).then(|| envelope_id(6)),
    };
    OutboxJob {
        message: message_id(n),
        silent: n == 4,
        sender: alice(),
        content: Bytes::from(vec![n; 20]),
        forced_suite: (n == 1).then_some(SuiteId::PAIR),
        targets: vec![target(bob(), state), target(alice(), TargetState::GivenUp)],
        created: at(n.into()),
    }
}

pub(super) fn envelope(n: u8, of: u8, attempts: u32) -> OutboxEnvelope {
    OutboxEnvelope {
        id: envelope_id(n),
        message: message_id(of),
        handle: bob(),
        account: account(2),
        list_version: 3,
        device: device(n),
        push_token: PushToken::from_bytes([n; 32]),
        suite: SuiteId::PAIR_EC,
        payload: Bytes::from(vec![n; 400]),
        attempts,
        not_before: at(attempts.into()),
    }
}
