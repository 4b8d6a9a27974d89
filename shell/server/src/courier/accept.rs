//! Checks a send: whose it is, whom it may reach, what becomes of each envelope. Spec: 30-courier.md §4 (COU-40 to COU-43).
//!
//! Owns the order of these checks. The form was checked by [`halcyon_courier::send`]; whether a mailbox has room is the
//! store's to say.
//!
//! - What is wrong with one envelope touches no other (COU-41).
//! - The envelope that is stored names the sender that was authenticated (COU-43).

use std::collections::HashMap;

use halcyon_courier::envelope::Sender;
use halcyon_courier::send::{self, Destination, Expiry, Part};
use halcyon_courier::{Envelope, Origin, SendRequest, Sent, SentPart, Status};
use halcyon_types::{AccountId, Timestamp};

use super::commit::Entry;
use super::connection::Peer;
use crate::ports::{Recipient, Recipients, RecipientsError};

/// A send of which every envelope has a status or is to be stored.
pub(super) struct Checked {
    /// Envelopes that are to be stored stand here as unavailable until they are.
    pub(super) sent: Sent,
    pub(super) entries: Vec<Entry>,
}

/// When a send was sealed, which decides by what it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// By the newest list, or its sender has to look again.
    Now,
    /// It was admitted when it was taken to be held: what changed since keeps it from nobody who is there still (COU-65).
    Earlier,
}

/// Checks a request of an authenticated device.
pub(super) async fn check(
    request: SendRequest,
    peer: Peer,
    recipients: &dyn Recipients,
    now: Timestamp,
    when: Sealed,
) -> Checked {
    match recipients.owns_handle(peer.account, &request.sender_handle).await {
        Ok(true) => {}
        // COU-40
        Ok(false) => return Checked { sent: request.answer_all(Status::Forbidden), entries: Vec::new() },
        Err(_) => return Checked { sent: request.answer_all(Status::Unavailable), entries: Vec::new() },
    }
    if request.expiry.has_passed(now) {
        // COU-40: its time ran out between its frame and here.
        return Checked { sent: request.answer_all(Status::Expired), entries: Vec::new() };
    }
    let SendRequest { id, topic, sender_handle, sender_list_version, expiry, destinations, .. } = request;
    let expires = match expiry {
        Expiry::At(time) => Some(time),
        Expiry::NowOrNever => None,
    };
    let mut checked = Checked { sent: Sent { id, parts: Vec::new() }, entries: Vec::new() };
    for destination in destinations {
        let mut admission =
            Admission { destination: &destination, asker: peer.account, now, when, asked: HashMap::new() };
        for part in &destination.parts {
            let status = match admit(&mut admission, part, recipients).await {
                Ok((recipient, sealed)) => {
                    let sender = Sender {
                        account: peer.account,
                        device: peer.device,
                        handle: sender_handle.clone(),
                        list_version: sender_list_version,
                        suite: sealed.suite,
                    };
                    // COU-43
                    let envelope = Envelope {
                        id: sealed.id,
                        topic: topic.clone(),
                        origin: Origin::Device(sender),
                        payload: sealed.payload.clone(),
                        accepted: now,
                        expires: expiry.as_timestamp(),
                    };
                    checked.entries.push(Entry {
                        device: recipient.device,
                        topic: topic.clone(),
                        expires,
                        envelope: envelope.encode(),
                        part: checked.sent.parts.len(),
                    });
                    Status::Unavailable
                }
                Err(status) => status,
            };
            checked.sent.parts.push(SentPart { envelope_id: part.envelope_id.clone(), status });
        }
    }
    checked
}

/// Whether envelopes of one destination may go to an account, asked once an account.
struct Admission<'a> {
    destination: &'a Destination,
    asker: AccountId,
    now: Timestamp,
    when: Sealed,
    asked: HashMap<AccountId, bool>,
}

async fn admit<'p>(
    admission: &mut Admission<'_>,
    part: &'p Part,
    recipients: &dyn Recipients,
) -> Result<(Recipient, &'p send::Sealed), Status> {
    let sealed = part.sealed.as_ref().map_err(|status| *status)?;
    let recipient = match recipients.recipient(&sealed.push_token).await {
        Ok(Some(recipient)) => recipient,
        Ok(None) => return Err(Status::UnknownToken),
        Err(RecipientsError(_)) => return Err(Status::Unavailable),
    };
    if admission.when == Sealed::Earlier {
        return Ok((recipient, sealed));
    }
    let Admission { destination, asker, now, asked, .. } = admission;
    // COU-42, DIR-31: the token admits to its recipient's account only, and for a while.
    let admitted = *asked
        .entry(recipient.account)
        .or_insert_with(|| recipients.session_is_valid(&destination.session_token, *asker, recipient.account, *now));
    if !admitted {
        return Err(Status::StaleSession);
    }
    // DIR-31: a version that the server does not have yet is as wrong as an old one.
    if destination.list_version != recipient.list_version {
        return Err(Status::StaleList);
    }
    Ok((recipient, sealed))
}
