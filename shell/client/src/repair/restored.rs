//! An old copy that was brought back: of this profile, or of the server. Spec: 61-repair.md §4 (REP-20 to REP-23, REP-25).
//!
//! Owns how that is noticed, and what is done before anything else leaves. Notices by numbers that only rise: what the server or a
//! peer remembers of this device, and what this device remembers of the server.
//!
//! - Nothing that was sealed with state that somebody may have used before leaves this device (REP-21).

use halcyon_types::Timestamp;

use super::{
    ASK_UNOPENED, Peer, has_talked, new_record,
    numbers::{EPOCH_CHECKED, epoch_change, stream_change},
    remember_sent,
};
use crate::{
    alerts,
    client::Inner,
    error::ProfileError,
    event::Notice,
    own,
    ports::{
        Change, Commit,
        store::{Delivery, RepairRecord, TargetState},
    },
    state::{Own, State},
};

/// The setting that holds the highest epoch that the server ever said it remembers (REP-25).
const EPOCH_TOLD: &str = "repair.epoch-told";
/// Nobody seals so often between a backup and its return: whoever says so makes it up, and a number that cannot rise any more would end
/// the detection.
const EPOCH_JUMP_MAX: u64 = 1 << 40;
/// The setting that holds when this device was restored last.
const RESTORED_AT: &str = "repair.restored-at";
/// Everybody is asked, and prekeys are made, once in this time.
const ASK_EVERYBODY_PAUSE: halcyon_types::Duration = halcyon_types::Duration::from_mins(60);
/// REP-24: what was stored last before the copy was made may be behind what was acknowledged.
const FORWARD_MARGIN: halcyon_types::Duration = halcyon_types::Duration::from_mins(60);

impl Inner {
    /// Compares what the server remembers with what this device knows, before anything is sent on the connection.
    pub(crate) fn compare_epochs(&self, remembered: u64) -> Result<(), ProfileError> {
        let (checked, told) = {
            let state = self.state();
            (state.epoch_checked()?, epoch_told(&state)?)
        };
        // Not with the epoch of now: a copy that seals before it connects would catch up with the original.
        if is_ahead(remembered, checked) {
            self.restored(remembered)?;
        } else if remembered < told {
            self.server_went_back(remembered)?;
        }
        let mut state = self.state();
        let mut commit = Commit::new();
        if state.store().setting(EPOCH_CHECKED)?.is_some() {
            commit.push(Change::RemoveSetting(EPOCH_CHECKED.to_owned()));
        }
        if remembered != told {
            commit.push(Change::PutSetting { name: EPOCH_TOLD.to_owned(), value: remembered.to_string() });
        }
        state.commit(&commit)?;
        state.is_newest_copy = true;
        Ok(())
    }

    /// REP-22: another own device remembers more than this one does.
    pub(crate) fn told_epoch(&self, seen: u64) -> Result<(), ProfileError> {
        let epoch = self.state().epoch()?;
        if is_ahead(seen, epoch) { self.restored(seen) } else { Ok(()) }
    }

    /// This profile is an older copy of itself (REP-21): whatever it would go on with may have been used.
    fn restored(&self, seen: u64) -> Result<(), ProfileError> {
        let now = self.now();
        tracing::warn!("this profile was restored from an older copy; all sessions begin anew");
        let mut state = self.state();
        let mut commit = Commit::new()
            .with(epoch_change(seen.max(state.epoch()?).saturating_add(1)))
            .with(Change::RemoveSetting(EPOCH_CHECKED.to_owned()))
            .with(stream_change(Timestamp::from_millis(now.as_millis().max(state.stream()?.saturating_add(1)))))
            .with(Change::CountUp("restored_total".to_owned()));
        for device in state.store().repairs().session_devices()? {
            let mut session = state.session(device, now)?;
            session.restart(now);
            commit.push(Change::PutSession { device, session: session.to_secret_bytes() });
        }
        seal_outbox_anew(&state, now, &mut commit)?;
        let mut own = state.own()?.duplicate()?;
        // A server that says so at every connect does not make this device ask everybody each time, nor use up its prekeys.
        if is_first_in_a_while(&state, now)? {
            ask_everybody(&mut state, now, &mut commit)?;
            own::want(&mut commit); // OWN-5
            // The original may have made newer prekeys, to which people seal: theirs are gone, so there have to be others.
            own = Own { keys: own.keys.with_rolled_prekey(self.rng().as_rng(), now), prekeys_uploaded: false, ..own };
        }
        commit.push(Change::PutSetting { name: RESTORED_AT.to_owned(), value: now.as_millis().to_string() });
        state.commit_own(own, commit)?;
        drop(state);
        alerts::raise(self, Notice::ProfileRestored)?;
        self.outbox.notify_one();
        Ok(())
    }

    /// REP-25: the server has forgotten what it knew; whatever it had of this device it gets again.
    fn server_went_back(&self, remembered: u64) -> Result<(), ProfileError> {
        tracing::warn!(remembered, "the server went back to an older state; prekeys are uploaded again");
        let mut state = self.state();
        let own = state.own()?.duplicate()?;
        let commit = Commit::new().with(Change::CountUp("server_went_back_total".to_owned()));
        state.commit_own(Own { prekeys_uploaded: false, ..own }, commit)?;
        drop(state);
        alerts::raise(self, Notice::ServerWentBack)
    }
}

fn is_ahead(seen: u64, epoch: u64) -> bool {
    seen > epoch && seen - epoch <= EPOCH_JUMP_MAX
}

fn is_first_in_a_while(state: &State, now: Timestamp) -> Result<bool, ProfileError> {
    let last = state.store().setting(RESTORED_AT)?.and_then(|at| at.parse().ok()).map(Timestamp::from_millis);
    Ok(last.is_none_or(|last| now.since(last) >= ASK_EVERYBODY_PAUSE))
}

fn epoch_told(state: &State) -> Result<u64, ProfileError> {
    let told = state.store().setting(EPOCH_TOLD)?;
    Ok(told.and_then(|told| told.parse().ok()).unwrap_or(0))
}

/// REP-21: what waits was sealed with keys that the original may have used for something else.
fn seal_outbox_anew(state: &State, now: Timestamp, commit: &mut Commit) -> Result<(), ProfileError> {
    for mut job in state.store().outbox_jobs()? {
        let sealed = state.store().outbox_envelopes(job.message)?;
        if sealed.is_empty() {
            continue;
        }
        for target in &mut job.targets {
            if let TargetState::Sealed(account) = target.state
                && sealed.iter().any(|envelope| envelope.account == account)
            {
                target.state = TargetState::ToSeal;
            }
        }
        for envelope in &sealed {
            // REP-12: the server may have it, and only the answer be lost.
            remember_sent(&job, envelope, now, commit);
            commit.push(Change::RemoveOutboxEnvelope(envelope.id));
        }
        // Their numbers may be others' by now.
        for delivery in state.store().deliveries(job.message)? {
            if sealed.iter().any(|envelope| envelope.device == delivery.device) {
                commit.push(Change::PutDelivery(Delivery { place: None, ..delivery }));
            }
        }
        commit.push(Change::PutOutboxJob(job));
    }
    Ok(())
}

/// REP-23, REP-24: everybody whose devices are known is asked how much they sealed, and own devices for what was said.
fn ask_everybody(state: &mut State, now: Timestamp, commit: &mut Commit) -> Result<(), ProfileError> {
    let own = (state.own()?.account, state.own()?.device);
    let newest = state.store().repairs().newest_received()?;
    let since = newest.map_or(Timestamp::from_millis(1), |newest| newest.minus(FORWARD_MARGIN));
    for peer in known_devices(state)? {
        if peer.device == own.1 || !has_talked(state, &peer)? {
            continue;
        }
        let record = new_record(&peer, now, now.plus(ASK_UNOPENED));
        commit.push(Change::PutRepair(RepairRecord {
            counts_wanted: true,
            forward_since: (peer.account == own.0).then_some(since),
            ..record
        }));
    }
    Ok(())
}

/// Every device of everybody in a conversation, and of this account, as far as their lists are known.
pub(super) fn known_devices(state: &mut State) -> Result<Vec<Peer>, ProfileError> {
    let mut handles: Vec<_> =
        state.store().conversations()?.into_iter().flat_map(|conversation| conversation.members).collect();
    handles.extend(state.store().own_handles()?);
    handles.sort();
    handles.dedup();
    let mut peers: Vec<Peer> = Vec::new();
    for handle in handles {
        let Some(kept) = state.kept(&handle)? else { continue };
        let account = kept.known.account();
        for device in kept.known.list().devices().iter().map(|device| device.entry().id()) {
            if !peers.iter().any(|peer| peer.device == device) {
                peers.push(Peer { device, account, handle: handle.clone(), wrote_to: None });
            }
        }
    }
    Ok(peers)
}
