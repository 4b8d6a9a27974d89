//! Deliveries that did not open: kept sealed, counted, tried again. Spec: 60-client.md §2 (RCV-3), 61-repair.md (REP-11, REP-16, REP-19).
//!
//! Owns the causes, the bounds, and what follows. Does not open anything.

use halcyon_courier::{Envelope, Origin, link::Delivery};
use halcyon_types::EnvelopeId;

use crate::{
    client::Inner,
    error::ProfileError,
    event::Event,
    ports::{Change, Commit, store::UnopenedRecord},
    receive::{Found, Received, payload_mark},
    repair::{self, Peer, Why},
};

/// Why a delivery did not open (RCV-3). The name is stored and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Malformed,
    UnknownSender,
    RefusedSender,
    UnknownDevice,
    Unauthentic,
    NoKey,
    Forked,
    SuiteNotSpoken,
    Content,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownSender => "unknown-sender",
            Self::RefusedSender => "refused-sender",
            Self::UnknownDevice => "unknown-device",
            Self::Unauthentic => "unauthentic",
            Self::NoKey => repair::NO_KEY,
            Self::Forked => repair::FORKED,
            Self::SuiteNotSpoken => "suite-not-spoken",
            Self::Content => "content",
        }
    }
}

/// Causes that a newer device list or an accepted account can end.
const SENDER_CAUSES: [&str; 3] =
    [Cause::UnknownSender.name(), Cause::RefusedSender.name(), Cause::UnknownDevice.name()];
/// RCV-3: deliveries that are kept unopened, of one device and in all: at 20 KiB each, 5 and 80 MiB.
const UNOPENED_OF_DEVICE_MAX: u64 = 256;
const UNOPENED_MAX: u64 = 4096;
/// Of these, what is tried again in an hour: each may take a lookup.
const OPENED_AGAIN_MAX: usize = 32;

impl Inner {
    /// RCV-3: kept sealed, counted, and acknowledged; the sender's device learns nothing.
    pub(crate) fn keep_unopened(
        &self,
        envelope: Option<&Envelope>,
        delivery: &Delivery,
        cause: Cause,
    ) -> Result<Received, ProfileError> {
        let mut commit = Commit::new();
        let mut state = self.state();
        if let Some(envelope) = envelope
            && !matches!(cause, Cause::NoKey | Cause::Forked)
        {
            // Nobody who only knows an envelope's id ends what is asked of its sender.
            let kept = state.store().repairs().unopened_head(envelope.id)?;
            if kept.is_some_and(|kept| [repair::NO_KEY, repair::FORKED].contains(&kept.cause.as_str())) {
                return Ok(Received::Committed);
            }
        }
        let event = self.unopened(envelope, delivery, cause, &mut commit);
        let origin = envelope.map(|envelope| &envelope.origin);
        if let (Cause::NoKey | Cause::Forked, Some(Origin::Device(sender))) = (cause, origin) {
            let wrote_to = envelope.and_then(|envelope| halcyon_suites::pq3::recipient(&envelope.payload));
            let peer = Peer { wrote_to, ..Peer::sender(sender) };
            repair::schedule(&state, &peer, Why::Unopened, self.now(), &mut commit)?; // REP-11
        }
        state.commit(&commit)?;
        drop(state);
        self.tell(event);
        self.outbox.notify_one(); // The sender is to be asked.
        Ok(Received::Committed)
    }

    pub(crate) fn unopened(
        &self,
        envelope: Option<&Envelope>,
        delivery: &Delivery,
        cause: Cause,
        commit: &mut Commit,
    ) -> Event {
        let id = envelope.map_or_else(|| EnvelopeId::from_bytes(self.rng().array()), |envelope| envelope.id);
        let device = envelope.and_then(|envelope| match &envelope.origin {
            Origin::Device(sender) => Some(sender.device),
            Origin::Server => None,
        });
        commit.push(Change::CountUp(format!("decrypt_failures_total{{cause=\"{}\"}}", cause.name()))); // REP-30
        // One that was kept for another cause before (REP-19) has this one now.
        commit.push(Change::RemoveUnopened(id));
        commit.push(Change::AddUnopened(UnopenedRecord {
            id,
            envelope: delivery.bytes.clone(),
            device,
            cause: cause.name().to_owned(),
            at: self.now(),
            gone: false,
        }));
        commit.push(Change::BoundUnopened {
            device,
            of_device: UNOPENED_OF_DEVICE_MAX,
            in_all: UNOPENED_MAX,
            asked: vec![repair::NO_KEY.to_owned(), repair::FORKED.to_owned()],
        });
        Event::Unopened { device, cause: cause.name().to_owned() }
    }

    /// Tries again what was not opened because its sender's device was not known: lists change, and people accept accounts (REP-19).
    pub(crate) async fn open_again(&self) -> Result<(), ProfileError> {
        let waits = |record: &UnopenedRecord| SENDER_CAUSES.contains(&record.cause.as_str());
        let mut records: Vec<_> = self.state().store().unopened()?.into_iter().filter(waits).collect();
        if records.len() > OPENED_AGAIN_MAX {
            // Each has its turn some day, whoever fills the first places.
            let begin = usize::from(u16::from_be_bytes(self.rng().array())) % records.len();
            records.rotate_left(begin);
            records.truncate(OPENED_AGAIN_MAX);
        }
        for record in records {
            let Ok(envelope) = Envelope::decode(record.envelope.clone()) else { continue };
            let Origin::Device(sender) = envelope.origin.clone() else { continue };
            if !matches!(self.find_sender(&sender).await?, Found::Device(_)) {
                continue;
            }
            let mark = payload_mark(&sender, &envelope.payload);
            let delivery = Delivery {
                seq: 0,
                envelope: Ok(envelope),
                bytes: record.envelope,
                from_storage: true,
                last_from_storage: false,
            };
            let _ = self.receive(&delivery).await?;
            let mut state = self.state();
            if state.store().has_seen(&mark)? {
                state.commit(&Commit::new().with(Change::RemoveUnopened(record.id)))?;
            }
        }
        Ok(())
    }
}
