//! What every implementation of the port `Mailboxes` must pass. Spec: 30-courier.md §3 to §5.
//!
//! Each function is a story on mailboxes that are empty when it starts; [`all`] tells all of them.

use bytes::Bytes;
use halcyon_server::ports::{Append, AppendOutcome, Mailboxes, ReadLimit, ShownEpoch, StoredEnvelope};
use halcyon_types::{DeviceId, Timestamp, Topic};

/// Envelopes that a mailbox takes in the implementation under test.
pub const ENVELOPES_MAX: u64 = 10;

/// Bytes that a mailbox takes in the implementation under test.
pub const BYTES_MAX: u64 = 1_000;

/// Tells every story, each on fresh mailboxes with the limits above.
pub async fn all<M: Mailboxes>(fresh: impl Fn() -> M) {
    messages_wait_in_order(&fresh()).await;
    reads_are_bounded(&fresh()).await;
    reads_keep_to_their_topics(&fresh()).await;
    acknowledged_is_gone(&fresh()).await;
    only_the_newest_waits_on_other_topics(&fresh()).await;
    a_full_mailbox_refuses_and_recovers(&fresh()).await;
    a_replaced_notification_makes_room(&fresh()).await;
    expired_is_not_read_and_is_deleted(&fresh()).await;
    a_cleared_mailbox_is_empty(&fresh()).await;
    concurrent_appends_get_positions_of_their_own(fresh()).await;
    the_highest_epoch_is_remembered(&fresh()).await;
    a_full_mailbox_does_not_keep_an_epoch_from_being_remembered(&fresh()).await;
    a_cleared_device_has_no_epoch(&fresh()).await;
}

/// COU-31, COU-50: messages wait in the order in which they were accepted, each device its own.
pub async fn messages_wait_in_order(mailboxes: &impl Mailboxes) {
    let positions =
        accept(mailboxes, vec![message(PHONE, "one"), message(LAPTOP, "other"), message(PHONE, "two")]).await;
    assert!(positions.is_sorted_by(|a, b| a < b), "positions rise: {positions:?}");
    let later = accept(mailboxes, vec![message(PHONE, "three")]).await;
    assert!(later[0] > positions[2]);

    let waiting = read(mailboxes, PHONE, 0).await;
    assert_eq!(texts(&waiting), ["one", "two", "three"]);
    assert_eq!(
        waiting.iter().map(|stored| stored.position).collect::<Vec<_>>(),
        [positions[0], positions[2], later[0]]
    );
    assert_eq!(texts(&read(mailboxes, PHONE, positions[0]).await), ["two", "three"]);
    assert_eq!(texts(&read(mailboxes, LAPTOP, 0).await), ["other"]);
}

/// COU-51: a read returns no more than was asked for, and at least one.
pub async fn reads_are_bounded(mailboxes: &impl Mailboxes) {
    accept(mailboxes, vec![message(PHONE, "11111"), message(PHONE, "22222"), message(PHONE, "33333")]).await;
    let read = async |count, bytes| {
        let found = mailboxes.read(PHONE, &[Topic::message()], 0, NOW, ReadLimit { count, bytes }).await.unwrap();
        texts(&found).len()
    };
    assert_eq!(read(2, 100).await, 2);
    assert_eq!(read(9, 10).await, 2);
    assert_eq!(read(9, 1).await, 1);
}

/// COU-34: what is stored of other topics waits.
pub async fn reads_keep_to_their_topics(mailboxes: &impl Mailboxes) {
    let alert = Append { topic: Topic::alert(), ..message(PHONE, "alert") };
    accept(mailboxes, vec![message(PHONE, "hello"), alert, weather(PHONE, "sun")]).await;
    let read = async |topics: &[Topic]| texts(&mailboxes.read(PHONE, topics, 0, NOW, PLENTY).await.unwrap()).join(" ");
    assert_eq!(read(&[Topic::message()]).await, "hello");
    assert_eq!(read(&[weather_topic(), Topic::alert()]).await, "alert sun");
    assert_eq!(read(&[Topic::parse("nothing").unwrap()]).await, "");
    assert_eq!(read(&[Topic::message(), Topic::alert(), weather_topic()]).await, "hello alert sun");
}

/// COU-52: what a device acknowledged is not read any more; what others have stays.
pub async fn acknowledged_is_gone(mailboxes: &impl Mailboxes) {
    let positions =
        accept(mailboxes, vec![message(PHONE, "one"), message(LAPTOP, "other"), message(PHONE, "two")]).await;
    mailboxes.acknowledge(PHONE, vec![positions[0]]).await.unwrap();
    // Not the phone's: a device deletes nothing of another one.
    mailboxes.acknowledge(PHONE, vec![positions[1]]).await.unwrap();
    // Twice does no harm.
    mailboxes.acknowledge(PHONE, vec![positions[0]]).await.unwrap();
    assert_eq!(texts(&read(mailboxes, PHONE, 0).await), ["two"]);
    // A read that is bounded is bounded in what it returns.
    let one = ReadLimit { count: 1, bytes: 1 };
    let found = mailboxes.read(PHONE, &[Topic::message()], 0, NOW, one).await.unwrap();
    assert_eq!(texts(&found), ["two"]);
    accept(mailboxes, vec![message(LAPTOP, "next")]).await;
    assert_eq!(texts(&read(mailboxes, LAPTOP, 0).await), ["other", "next"]);
}

/// COU-32: of other topics only the newest waits, each device and topic for itself.
pub async fn only_the_newest_waits_on_other_topics(mailboxes: &impl Mailboxes) {
    let traffic = Append { topic: Topic::parse("traffic").unwrap(), ..weather(PHONE, "jam") };
    accept(mailboxes, vec![weather(PHONE, "rain"), weather(PHONE, "sun"), weather(LAPTOP, "fog"), traffic]).await;
    accept(mailboxes, vec![weather(PHONE, "snow")]).await;
    let topics = [weather_topic(), Topic::parse("traffic").unwrap()];
    let read = async |device| texts(&mailboxes.read(device, &topics, 0, NOW, PLENTY).await.unwrap()).join(" ");
    assert_eq!(read(PHONE).await, "jam snow");
    assert_eq!(read(LAPTOP).await, "fog");
}

/// COU-45: a full mailbox refuses, in count and in bytes, without touching others, and takes again after acknowledgements.
pub async fn a_full_mailbox_refuses_and_recovers(mailboxes: &impl Mailboxes) {
    let full: Vec<Append> = (0..ENVELOPES_MAX).map(|_| message(PHONE, "x")).collect();
    let positions = accept(mailboxes, full).await;
    let outcomes = mailboxes.append(vec![message(PHONE, "one too many"), message(LAPTOP, "y")], vec![]).await.unwrap();
    assert_eq!(outcomes[0], AppendOutcome::Quota);
    assert!(matches!(outcomes[1], AppendOutcome::Accepted(_)));
    mailboxes.acknowledge(PHONE, vec![positions[0]]).await.unwrap();
    accept(mailboxes, vec![message(PHONE, "fits again")]).await;

    let large = "z".repeat(usize::try_from(BYTES_MAX).unwrap());
    let outcomes = mailboxes.append(vec![message(TABLET, &large), message(TABLET, "z")], vec![]).await.unwrap();
    assert!(matches!(outcomes[0], AppendOutcome::Accepted(_)));
    assert_eq!(outcomes[1], AppendOutcome::Quota);
    assert_eq!(read(mailboxes, TABLET, 0).await.len(), 1);
}

/// COU-32, COU-45: a notification that replaces an older one counts only for what it adds.
pub async fn a_replaced_notification_makes_room(mailboxes: &impl Mailboxes) {
    let mut full: Vec<Append> = (1..ENVELOPES_MAX).map(|_| message(PHONE, "x")).collect();
    full.push(weather(PHONE, "rain"));
    accept(mailboxes, full).await;
    accept(mailboxes, vec![weather(PHONE, "sun")]).await;
    assert_eq!(mailboxes.append(vec![message(PHONE, "y")], vec![]).await.unwrap(), [AppendOutcome::Quota]);
}

/// COU-54: what expired is not read any more, and is deleted when it is time to.
pub async fn expired_is_not_read_and_is_deleted(mailboxes: &impl Mailboxes) {
    let brief: Vec<Append> =
        (0..ENVELOPES_MAX - 1).map(|_| Append { expires: later(10), ..message(PHONE, "brief") }).collect();
    accept(mailboxes, brief).await;
    accept(mailboxes, vec![message(PHONE, "lasting")]).await;
    let at = async |now| texts(&mailboxes.read(PHONE, &[Topic::message()], 0, now, PLENTY).await.unwrap()).len();
    assert_eq!(at(later(9)).await, 10);
    assert_eq!(at(later(10)).await, 1);

    let mut deleted = 0;
    loop {
        match mailboxes.expire(later(10)).await.unwrap() {
            0 => break,
            some => deleted += some,
        }
    }
    assert_eq!(deleted, 9);
    // Even at a time when they would not have expired: they are gone, and so is their share of the quota.
    assert_eq!(at(NOW).await, 1);
    accept(mailboxes, (0..ENVELOPES_MAX - 1).map(|_| message(PHONE, "new")).collect()).await;
}

/// COU-55: clearing empties one mailbox and its quota.
pub async fn a_cleared_mailbox_is_empty(mailboxes: &impl Mailboxes) {
    accept(mailboxes, (0..ENVELOPES_MAX).map(|_| message(PHONE, "x")).collect()).await;
    accept(mailboxes, vec![message(LAPTOP, "stays")]).await;
    mailboxes.clear(PHONE).await.unwrap();
    assert!(read(mailboxes, PHONE, 0).await.is_empty());
    assert_eq!(texts(&read(mailboxes, LAPTOP, 0).await), ["stays"]);
    accept(mailboxes, vec![message(PHONE, "new")]).await;
}

/// COU-41: appends that come together are all answered, each with positions of its own, in its own order.
pub async fn concurrent_appends_get_positions_of_their_own(mailboxes: impl Mailboxes) {
    let senders = (0..20u8).map(|n| {
        let device = DeviceId::from_bytes([100 + n; 16]);
        accept(&mailboxes, (0..5).map(|_| message(device, "x")).collect())
    });
    let mut all = Vec::new();
    for positions in futures_util::future::join_all(senders).await {
        assert!(positions.is_sorted_by(|a, b| a < b));
        all.extend(positions);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100);
}

/// COU-18: of what a device showed the highest is remembered, each device its own; envelopes need not come along.
pub async fn the_highest_epoch_is_remembered(mailboxes: &impl Mailboxes) {
    let of = async |device| mailboxes.epoch(device).await.unwrap();
    assert_eq!((of(PHONE).await, of(LAPTOP).await), (0, 0));
    mailboxes.append(vec![message(LAPTOP, "hello")], vec![shown(PHONE, 9)]).await.unwrap();
    assert_eq!((of(PHONE).await, of(LAPTOP).await), (9, 0), "whoever gets an envelope showed nothing");
    mailboxes.append(vec![], vec![shown(PHONE, 7), shown(LAPTOP, 3)]).await.unwrap();
    assert_eq!((of(PHONE).await, of(LAPTOP).await), (9, 3));
    // Several sends of one device in one batch, the higher one first; and above what a signed number holds.
    mailboxes.append(vec![], vec![shown(PHONE, 300), shown(PHONE, 256)]).await.unwrap();
    assert_eq!(of(PHONE).await, 300);
    for highest in [u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
        mailboxes.append(vec![], vec![shown(PHONE, highest)]).await.unwrap();
        assert_eq!(of(PHONE).await, highest);
    }
    mailboxes.append(vec![], vec![shown(PHONE, 1)]).await.unwrap();
    assert_eq!((of(PHONE).await, of(LAPTOP).await), (u64::MAX, 3));
}

/// COU-19: who sends to a full mailbox used its keys all the same.
pub async fn a_full_mailbox_does_not_keep_an_epoch_from_being_remembered(mailboxes: &impl Mailboxes) {
    accept(mailboxes, (0..ENVELOPES_MAX).map(|_| message(PHONE, "x")).collect()).await;
    let outcomes = mailboxes.append(vec![message(PHONE, "y")], vec![shown(LAPTOP, 4)]).await.unwrap();
    assert_eq!((&outcomes[..], mailboxes.epoch(LAPTOP).await.unwrap()), (&[AppendOutcome::Quota][..], 4));
}

/// COU-18: a device that is removed leaves no epoch behind; the others keep theirs.
pub async fn a_cleared_device_has_no_epoch(mailboxes: &impl Mailboxes) {
    mailboxes.append(vec![message(PHONE, "x")], vec![shown(PHONE, 9), shown(LAPTOP, 5)]).await.unwrap();
    mailboxes.clear(PHONE).await.unwrap();
    assert_eq!((mailboxes.epoch(PHONE).await.unwrap(), mailboxes.epoch(LAPTOP).await.unwrap()), (0, 5));
}

/// COU-41, I10: what was accepted is there after a restart; positions go on rising and deleted ones are not used again.
///
/// `reopen` opens the same mailboxes anew after `leave` let go of them, by closing or by crashing.
pub async fn accepted_survives<M: Mailboxes>(reopen: impl Fn() -> M, leave: impl Fn(M)) {
    let mailboxes = reopen();
    let positions =
        accept(&mailboxes, vec![message(PHONE, "one"), weather(PHONE, "sun"), message(LAPTOP, "other")]).await;
    mailboxes.acknowledge(LAPTOP, vec![positions[2]]).await.unwrap();
    let last = accept(&mailboxes, vec![message(LAPTOP, "newer")]).await[0];
    mailboxes.acknowledge(LAPTOP, vec![last]).await.unwrap();
    leave(mailboxes);

    let mailboxes = reopen();
    assert_eq!(texts(&read(&mailboxes, PHONE, 0).await), ["one"]);
    let sun = mailboxes.read(PHONE, &[weather_topic()], 0, NOW, PLENTY).await.unwrap();
    assert_eq!(texts(&sun), ["sun"]);
    let next = accept(&mailboxes, vec![message(PHONE, "two")]).await[0];
    assert!(next > last, "position {next} after {last}");
    assert_eq!(texts(&read(&mailboxes, PHONE, 0).await), ["one", "two"]);
    leave(mailboxes);
}

/// COU-19: an epoch is there after a restart as soon as `append` answered, and a smaller one does not replace it then either.
///
/// `reopen` and `leave` as for [`accepted_survives`].
pub async fn epochs_survive<M: Mailboxes>(reopen: impl Fn() -> M, leave: impl Fn(M)) {
    let mailboxes = reopen();
    mailboxes.append(vec![message(LAPTOP, "hello")], vec![shown(PHONE, 9)]).await.unwrap();
    leave(mailboxes);

    let mailboxes = reopen();
    assert_eq!(mailboxes.epoch(PHONE).await.unwrap(), 9);
    mailboxes.append(vec![], vec![shown(PHONE, 7), shown(LAPTOP, 2)]).await.unwrap();
    leave(mailboxes);

    let mailboxes = reopen();
    assert_eq!((mailboxes.epoch(PHONE).await.unwrap(), mailboxes.epoch(LAPTOP).await.unwrap()), (9, 2));
    leave(mailboxes);
}

/// An epoch that a device showed.
#[must_use]
pub fn shown(device: DeviceId, epoch: u64) -> ShownEpoch {
    ShownEpoch { device, epoch }
}

/// Appends what must be accepted, and returns the positions.
pub async fn accept(mailboxes: &impl Mailboxes, batch: Vec<Append>) -> Vec<u64> {
    let outcomes = mailboxes.append(batch, vec![]).await.unwrap();
    let position = |outcome| match outcome {
        AppendOutcome::Accepted(position) => position,
        AppendOutcome::Quota => panic!("the mailbox is full"),
    };
    outcomes.into_iter().map(position).collect()
}

/// Reads all messages of a device after a position.
pub async fn read(mailboxes: &impl Mailboxes, device: DeviceId, after: u64) -> Vec<StoredEnvelope> {
    mailboxes.read(device, &[Topic::message()], after, NOW, PLENTY).await.unwrap()
}

/// A message for a device that lasts longer than any story.
#[must_use]
pub fn message(device: DeviceId, text: &str) -> Append {
    Append {
        device,
        topic: Topic::message(),
        expires: later(1_000_000),
        envelope: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// What the envelopes hold.
#[must_use]
pub fn texts(found: &[StoredEnvelope]) -> Vec<&str> {
    found.iter().map(|stored| std::str::from_utf8(&stored.envelope).unwrap()).collect()
}

/// A notification of which the newest is kept.
pub fn weather(device: DeviceId, text: &str) -> Append {
    Append { topic: weather_topic(), ..message(device, text) }
}

/// Its topic.
pub fn weather_topic() -> Topic {
    Topic::parse("weather").unwrap()
}

fn later(ms: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + ms)
}

/// Alice's phone.
pub const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
/// Alice's laptop.
pub const LAPTOP: DeviceId = DeviceId::from_bytes([2; 16]);
const TABLET: DeviceId = DeviceId::from_bytes([3; 16]);
/// When the stories happen.
pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const PLENTY: ReadLimit = ReadLimit { count: 1_000, bytes: 1 << 20 };
