//! Nothing stays missing: what did not come or did not open is found, asked for, and sent again. Spec: 61-repair.md.
//!
//! Owns what may be missing, and with whom that is to be repaired. Does not know how messages are sealed or sent: what is asked and sent again
//! takes the way of every message, through the outbox.
//!
//! - Devices ask one another only in sealed messages, and only about what their sender's device authenticated. What does not
//!   authenticate is answered by nobody (RCV-3).
//! - A device is asked at most once in ten seconds, and ever less often while that does not help (REP-11).
//!
//! Next: [`numbers`] what was sealed for whom, [`gaps`] what did not come, [`ask`] the questions, [`answer`] what others ask, [`restored`] after an old copy
//! was brought back, [`forward`] between own devices, [`unheard`] those that never said anything, [`shown`] for people.

pub(crate) mod answer;
mod ask;
pub(crate) mod forward;
pub(crate) mod gaps;
pub(crate) mod numbers;
mod resent;
pub(crate) mod restored;
mod shown;
mod unheard;

use halcyon_content::StreamEnd;
use halcyon_courier::envelope::Sender;
use halcyon_types::{AccountId, DeviceId, Duration, Handle, Timestamp};

pub(crate) use resent::Resent;
pub(crate) use shown::gap as shown_gap;
pub use shown::{Counter, SessionHealth, SessionShown, ShownGap, ShownRepair};

use crate::{
    client::Inner,
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{DeliveryState, OutboxEnvelope, OutboxJob, RepairRecord, SentEnd, SentEnvelope, UnopenedHead},
    },
    state::State,
};

/// A message that did not open is asked for at once, but for those that come together with it.
const ASK_UNOPENED: Duration = Duration::from_secs(2);
/// What is missing may be on its way still: messages for one device leave in their order (SND-5), so it seldom is.
const ASK_MISSING: Duration = Duration::from_secs(10);
/// REP-13: how long a message waits for its receipt before its receiver is told that there is one.
pub(crate) const COUNT_AFTER: Duration = Duration::from_mins(60);
/// REP-11: the pauses after each time that a device was asked; the last one stays.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(60),
    Duration::from_mins(6 * 60),
    Duration::from_days(1),
];
/// REP-11: which of them is the longest for something new.
const NEW_PAUSE_LONGEST: usize = 3;
/// REP-14: how long is asked: as long as anybody keeps what was sent (REP-12).
pub(crate) const ASK_AGE_MAX: Duration = Duration::from_days(30);
/// How long until it is looked again whether there is a handle by which a device can be asked.
const NOBODY_TO_ASK_PAUSE: Duration = Duration::from_mins(60);
/// After which a repair is shown with what is to be done.
const STUCK_AFTER: Duration = Duration::from_mins(60);
/// REP-17: requests that were followed by nothing, after which the sender is asked to begin anew.
const RESTART_AFTER: u32 = 3;
/// REP-12: envelopes that are kept to be sent again: some 16 MiB, since most are without content.
const SENT_KEPT_MAX: u64 = 65_536;

/// The names of the causes that are repaired (RCV-3).
pub(crate) const NO_KEY: &str = "no-key";
pub(crate) const FORKED: &str = "forked";

/// Which of a device's repairs is due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Something did not open.
    Unopened,
    /// Something did not come.
    Missing,
    /// Something is not confirmed.
    Unconfirmed,
}

/// Whom a repair is about.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) device: DeviceId,
    pub(crate) account: AccountId,
    pub(crate) handle: Handle,
    /// The own handle that it wrote to, where no conversation says so.
    pub(crate) wrote_to: Option<Handle>,
}

impl Peer {
    /// Returns the device that sealed what an envelope carries.
    pub(crate) fn sender(sender: &Sender) -> Self {
        Self { device: sender.device, account: sender.account, handle: sender.handle.clone(), wrote_to: None }
    }

    fn of(record: &RepairRecord) -> Self {
        let (device, account, handle) = (record.device, record.account, record.handle.clone());
        Self { device, account, handle, wrote_to: record.wrote_to.clone() }
    }
}

/// Adds to a commit that a device is to be asked, if it is not already, or later (REP-11).
pub(crate) fn schedule(
    state: &State,
    peer: &Peer,
    why: Why,
    now: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let due = now.plus(match why {
        Why::Unopened => ASK_UNOPENED,
        Why::Missing => ASK_MISSING,
        Why::Unconfirmed => COUNT_AFTER,
    });
    let record = match state.store().repairs().repair(peer.device)? {
        None => new_record(peer, now, due),
        Some(record) => {
            // What is new does not wait for the long pauses of what is old. It may be the other's question, which does not open here as
            // ours does not open there: so each that helps nothing makes the next wait longer.
            let asked_in_vain = usize::try_from(record.attempts).unwrap_or(usize::MAX);
            let pause = PAUSES[asked_in_vain.saturating_sub(1).min(NEW_PAUSE_LONGEST)];
            let earliest = record.asked.map_or(due, |asked| due.max(asked.plus(pause)));
            let wrote_to = peer.wrote_to.clone().or(record.wrote_to.clone());
            if record.due <= earliest && wrote_to == record.wrote_to {
                return Ok(());
            }
            RepairRecord { due: record.due.min(earliest), wrote_to, ..record }
        }
    };
    commit.push(Change::PutRepair(record));
    Ok(())
}

fn new_record(peer: &Peer, now: Timestamp, due: Timestamp) -> RepairRecord {
    RepairRecord {
        device: peer.device,
        account: peer.account,
        handle: peer.handle.clone(),
        since: now,
        due,
        asked: None,
        attempts: 0,
        job: None,
        counts_wanted: false,
        forward_since: None,
        wrote_to: peer.wrote_to.clone(),
    }
}

/// Says whether this device and another have anything to tell each other: they are of one account, or have talked, or this one has
/// talked with another of that account (REP-18): the first message of a new device may be what did not come.
pub(crate) fn has_talked(state: &mut State, peer: &Peer) -> Result<bool, ProfileError> {
    let known = state.known(peer.account)?;
    let listed = known.iter().flat_map(|known| known.list().devices()).map(|device| device.entry().id());
    let devices: Vec<_> = std::iter::once(peer.device).chain(listed).collect();
    let queries = state.store().repairs();
    for device in devices {
        if !queries.sent_ends(device)?.is_empty() || !queries.heard(device)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(state.own()?.account == peer.account)
}

/// Adds to a commit what follows from the server's having an envelope: it can be sent again (REP-12), and its device is told of it if
/// no receipt comes (REP-13).
pub(crate) fn expect_receipt(
    state: &State,
    job: &OutboxJob,
    envelope: &OutboxEnvelope,
    at: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    remember_sent(job, envelope, at, commit);
    let before = state.store().repairs().delivery(job.message, envelope.device)?;
    // What was accepted before is waited for already, at its own pace.
    if job.silent || before.is_some_and(|before| matches!(before.state, DeliveryState::Accepted(_))) {
        return Ok(());
    }
    let (device, account, handle) = (envelope.device, envelope.account, envelope.handle.clone());
    let peer = Peer { device, account, handle, wrote_to: None };
    schedule(state, &peer, Why::Unconfirmed, at, commit)
}

/// Adds to a commit that an envelope may have reached its device: also one that was refused when it was sent again, since the first
/// time may have gone well and its answer been lost (REP-12).
pub(crate) fn remember_sent(job: &OutboxJob, envelope: &OutboxEnvelope, at: Timestamp, commit: &mut Commit) {
    commit.push(Change::PutSentEnvelope(SentEnvelope {
        id: envelope.id,
        device: envelope.device,
        message: job.message,
        content: job.silent.then(|| job.content.clone()),
        sender: job.sender.clone(),
        at,
    }));
}

impl Inner {
    /// Forgets what nobody asks for any more (REP-12, REP-14).
    pub(crate) fn forget_sent(&self, now: Timestamp) -> Result<(), ProfileError> {
        let before = now.minus(ASK_AGE_MAX);
        let mut state = self.state();
        let mut commit = Commit::new().with(Change::ForgetSentEnvelopes { before, keep: SENT_KEPT_MAX });
        for mut heard in state.store().repairs().gaps()? {
            if !heard.missing.is_empty() && heard.since < before {
                commit.push(Change::CountUp(counter("gap", "given-up")));
                gaps::lose_all(&mut heard);
                commit.push(Change::PutHeard(heard));
            }
        }
        Ok(state.commit(&commit)?)
    }
}

fn stream_end(end: &SentEnd) -> StreamEnd {
    StreamEnd { conversation: end.conversation, stream: end.stream, last: end.last }
}

/// Says whether its sender is to send it again.
fn is_asked_for(head: &UnopenedHead) -> bool {
    [NO_KEY, FORKED].contains(&head.cause.as_str()) && !head.gone
}

/// The name of a counter of repairs (REP-30).
pub(crate) fn counter(cause: &str, outcome: &str) -> String {
    format!("repairs_total{{cause=\"{cause}\",outcome=\"{outcome}\"}}")
}
