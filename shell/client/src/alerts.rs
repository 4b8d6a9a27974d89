//! What a person is shown until it was seen: the server's alerts and this client's own alarms. Spec: 11-directory.md §5 (DIR-40), DIR-6.
//!
//! Owns their stored form. Does not decide anything by them: an alert is the server's word.

use bytes::Bytes;
use halcyon_directory::alert::{Alert, AlertEvent};
use halcyon_types::{EnvelopeId, Handle};
use serde::{Deserialize, Serialize};

use crate::{
    client::{Client, Inner},
    error::ProfileError,
    event::{Event, Notice, ShownAlert},
    ports::{Change, Commit, store::AlertRecord},
};

/// The stored form of a notice; local, so it is not in `proto/`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stored {
    /// An encoded `directory.v1.Alert` in hex.
    Server {
        alert: String,
    },
    Refused {
        handle: String,
        reason: String,
    },
    LinkTampered {
        name: String,
    },
    DeviceCopied {
        handle: String,
        name: String,
    },
    ProfileRestored,
    ServerWentBack,
    Removed,
}

impl Client {
    /// Returns every alert, oldest first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn alerts(&self) -> Result<Vec<ShownAlert>, ProfileError> {
        Ok(self.inner.state().store().alerts()?.iter().map(shown).collect())
    }

    /// Notes that the person saw an alert.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn mark_alert_seen(&self, alert: EnvelopeId) -> Result<(), ProfileError> {
        Ok(self.inner.state().commit(&Commit::new().with(Change::MarkAlertSeen(alert)))?)
    }
}

/// Commits an alarm of this client and tells it. The same alarm is not raised twice while it was not seen.
pub(crate) fn raise(inner: &Inner, notice: Notice) -> Result<(), ProfileError> {
    let Some(body) = encode(&notice) else { return Ok(()) };
    let record = AlertRecord { id: EnvelopeId::from_bytes(inner.rng().array()), at: inner.now(), body, seen: false };
    {
        let mut state = inner.state();
        if state.store().alerts()?.iter().any(|kept| !kept.seen && kept.body == record.body) {
            return Ok(());
        }
        state.commit(&Commit::new().with(Change::AddAlert(record.clone())))?;
    }
    inner.tell(Event::Alert(shown(&record)));
    Ok(())
}

/// Returns the record of an alert that the server delivered. One that does not decode is kept as unknown.
pub(crate) fn record(inner: &Inner, id: EnvelopeId, alert: &Alert) -> AlertRecord {
    let stored = Stored::Server { alert: hex::encode(alert.encode()) };
    AlertRecord { id, at: inner.now(), body: to_bytes(&stored), seen: false }
}

/// Returns an alert as it is shown.
pub(crate) fn shown(record: &AlertRecord) -> ShownAlert {
    ShownAlert { id: record.id, at: record.at, notice: decode(&record.body), seen: record.seen }
}

fn encode(notice: &Notice) -> Option<Bytes> {
    let stored = match notice {
        Notice::Refused { handle, reason } => {
            Stored::Refused { handle: handle.as_uri().to_owned(), reason: reason.clone() }
        }
        Notice::LinkTampered { name } => Stored::LinkTampered { name: name.clone() },
        Notice::DeviceCopied { handle, name } => {
            Stored::DeviceCopied { handle: handle.as_uri().to_owned(), name: name.clone() }
        }
        Notice::ProfileRestored => Stored::ProfileRestored,
        Notice::ServerWentBack => Stored::ServerWentBack,
        Notice::Removed => Stored::Removed,
        Notice::Server(_) | Notice::Unknown => return None,
    };
    Some(to_bytes(&stored))
}

fn to_bytes(stored: &Stored) -> Bytes {
    serde_json::to_vec(stored).expect("our own values have string keys and no errors of their own").into()
}

fn decode(body: &[u8]) -> Notice {
    match serde_json::from_slice(body) {
        Ok(Stored::Server { alert }) => {
            let alert = hex::decode(alert).ok().and_then(|bytes| Alert::decode(bytes.into()).ok());
            alert.map_or(Notice::Unknown, |alert| match alert.event {
                AlertEvent::Unknown => Notice::Unknown,
                event => Notice::Server(event),
            })
        }
        Ok(Stored::Refused { handle, reason }) => {
            Handle::parse(&handle).map_or(Notice::Unknown, |handle| Notice::Refused { handle, reason })
        }
        Ok(Stored::LinkTampered { name }) => Notice::LinkTampered { name },
        Ok(Stored::DeviceCopied { handle, name }) => {
            Handle::parse(&handle).map_or(Notice::Unknown, |handle| Notice::DeviceCopied { handle, name })
        }
        Ok(Stored::ProfileRestored) => Notice::ProfileRestored,
        Ok(Stored::ServerWentBack) => Notice::ServerWentBack,
        Ok(Stored::Removed) => Notice::Removed,
        Err(_) => Notice::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use halcyon_directory::alert::DeviceNotice;
    use halcyon_types::{DeviceId, Timestamp};

    use super::*;

    /// DIR-40, DIR-6: every notice reads back as it was stored, and the bytes are pinned.
    #[test]
    fn notices_survive_the_store() {
        let handle = Handle::parse("mailto:bob@example.org").unwrap();
        let notices = [
            Notice::Refused { handle: handle.clone(), reason: "rolled back".into() },
            Notice::DeviceCopied { handle, name: "phone".into() },
            Notice::LinkTampered { name: "tablet".into() },
            Notice::ProfileRestored,
            Notice::ServerWentBack,
            Notice::Removed,
        ];
        for notice in notices {
            assert_eq!(decode(&encode(&notice).unwrap()), notice);
        }
        assert_eq!(encode(&Notice::Removed).unwrap(), "{\"kind\":\"removed\"}");
        assert_eq!(decode(b"from a later version"), Notice::Unknown);
        let event = AlertEvent::DeviceAdded(DeviceNotice {
            device: DeviceId::from_bytes([1; 16]),
            name: "laptop".into(),
            list_version: 2,
        });
        let alert = Alert { time: Timestamp::from_millis(1), event: event.clone() };
        let stored = to_bytes(&Stored::Server { alert: hex::encode(alert.encode()) });
        assert_eq!(decode(&stored), Notice::Server(event));
    }
}
