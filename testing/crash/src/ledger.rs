//! What was accepted and what was shown, written down by the clients: the judge.
//!
//! Owns the notes and the verdict. Does not know servers, kills or disks.
//!
//! - A message is known by its text, which is never said twice.
//! - Accepted is what a client was told by the server, device by device, at the moment it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_client::Event;
use halcyon_client::event::{DeliveryState, Origin};
use halcyon_types::{DeviceId, MessageId};

/// The notes that all clients share.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    texts: BTreeMap<MessageId, String>,
    /// Texts that may expire before they are shown.
    fleeting: BTreeSet<String>,
    accepted: BTreeSet<(MessageId, DeviceId)>,
    given_up: BTreeMap<(MessageId, DeviceId), String>,
    /// How often a device told a text.
    shown: BTreeMap<(DeviceId, String), u32>,
    /// What a device that was killed has in its store: shown to whoever opens it.
    in_store: BTreeSet<(DeviceId, String)>,
    /// Deliveries that did not open.
    unopened: Vec<String>,
    /// Whatever else must not be.
    strange: Vec<String>,
    /// Events that a watcher came too late for.
    missed: u64,
}

/// What the notes come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that were sent.
    pub sent: usize,
    /// Envelopes, one a device, that the server said it has.
    pub accepted: usize,
    /// Those that no device showed, with text and device.
    pub lost: Vec<String>,
    /// Texts that a device showed more than once.
    pub shown_twice: Vec<String>,
    /// Whatever else must not be: given up, unopened, missed.
    pub strange: Vec<String>,
}

impl Ledger {
    /// Notes that somebody sent a message.
    pub fn sent(&self, message: MessageId, text: &str) {
        self.notes().texts.insert(message, text.to_owned());
    }

    /// Notes that a message may expire before it is shown.
    pub fn fleeting(&self, text: &str) {
        self.notes().fleeting.insert(text.to_owned());
    }

    /// Notes that a client was told that the server has an envelope.
    pub fn accepted_for(&self, message: MessageId, device: DeviceId) {
        self.notes().accepted.insert((message, device));
    }

    /// Notes that a device showed a text.
    pub fn shown(&self, device: DeviceId, text: &str) {
        *self.notes().shown.entry((device, text.to_owned())).or_default() += 1;
    }

    /// Notes what a device that was killed before it could show it has in its store.
    pub fn in_store<'t>(&self, device: DeviceId, texts: impl IntoIterator<Item = &'t String>) {
        self.notes().in_store.extend(texts.into_iter().map(|text| (device, text.clone())));
    }

    /// Notes something that must not happen.
    pub fn strange(&self, what: String) {
        self.notes().strange.push(what);
    }

    /// Notes what a device's client told.
    pub fn note(&self, device: DeviceId, event: &Event) {
        let mut notes = self.notes();
        match event {
            Event::Message(message) if message.origin != Origin::Here => {
                let text = message.text.clone().unwrap_or_default();
                *notes.shown.entry((device, text)).or_default() += 1;
            }
            Event::Delivery { message, delivery } => match &delivery.state {
                DeliveryState::Accepted(_) | DeliveryState::Delivered(_) => {
                    notes.accepted.insert((*message, delivery.device));
                }
                DeliveryState::Failed(why) => {
                    notes.given_up.insert((*message, delivery.device), why.clone());
                }
                _ => {}
            },
            Event::Unopened { cause, .. } => notes.unopened.push(cause.clone()),
            Event::Missed(count) => notes.missed += count,
            _ => {}
        }
    }

    /// Returns how many envelopes were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.notes().accepted.len()
    }

    /// Returns how many accepted envelopes are not shown yet, besides fleeting ones.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.notes().lost().count()
    }

    /// Returns what the notes come to. `histories` is what each device has in its store at the end, oldest first.
    #[must_use]
    pub fn verdict(&self, histories: &BTreeMap<DeviceId, Vec<String>>) -> Verdict {
        let notes = self.notes();
        let mut verdict = Verdict {
            sent: notes.texts.len(),
            accepted: notes.accepted.len(),
            lost: notes.lost().map(|(text, device)| format!("\"{text}\" for {device}")).collect(),
            ..Verdict::default()
        };
        for ((device, text), times) in notes.shown.iter().filter(|(_, times)| **times > 1) {
            verdict.shown_twice.push(format!("\"{text}\" {times} times on {device}"));
        }
        for (device, texts) in histories {
            let mut seen = BTreeSet::new();
            let again = texts.iter().filter(|text| !seen.insert(*text));
            verdict.shown_twice.extend(again.map(|text| format!("\"{text}\" twice in the history of {device}")));
            // What was told must be in the store.
            let told = notes.shown.keys().filter(|(by, _)| by == device).map(|(_, text)| text);
            let gone = told.filter(|text| !seen.contains(text));
            verdict.lost.extend(gone.map(|text| format!("\"{text}\" from the history of {device}")));
        }
        // What was over before the server had it is said to be, and rightly so.
        let is_fleeting =
            |message: &MessageId| notes.texts.get(message).is_some_and(|text| notes.fleeting.contains(text));
        let given_up = notes.given_up.iter().filter(|((message, _), _)| !is_fleeting(message));
        let given_up = given_up.map(|((message, device), why)| format!("{message} for {device}: {why}"));
        verdict.strange.extend(given_up);
        verdict.strange.extend(notes.unopened.iter().map(|cause| format!("a delivery did not open: {cause}")));
        verdict.strange.extend(notes.strange.iter().cloned());
        if notes.missed > 0 {
            verdict.strange.push(format!("{} events were missed", notes.missed));
        }
        verdict
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Accepted, not fleeting, and not shown. Receipts are accepted, too, but have no text.
    fn lost(&self) -> impl Iterator<Item = (&str, DeviceId)> {
        self.accepted.iter().filter_map(|(message, device)| {
            let text = self.texts.get(message)?;
            let shown =
                self.shown.contains_key(&(*device, text.clone())) || self.in_store.contains(&(*device, text.clone()));
            (!shown && !self.fleeting.contains(text)).then_some((text.as_str(), *device))
        })
    }
}

impl Verdict {
    /// Returns whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.shown_twice.is_empty() && self.strange.is_empty()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for lost in &self.lost {
            writeln!(f, "LOST {lost}")?;
        }
        for twice in &self.shown_twice {
            writeln!(f, "SHOWN TWICE {twice}")?;
        }
        for strange in &self.strange {
            writeln!(f, "STRANGE {strange}")?;
        }
        writeln!(f, "sent {}", self.sent)?;
        writeln!(f, "accepted {}", self.accepted)?;
        writeln!(f, "lost {}", self.lost.len())?;
        write!(f, "shown_twice {}", self.shown_twice.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
    const HELLO: MessageId = MessageId::from_bytes([2; 16]);

    /// What the phone has in its store at the end.
    fn judge(ledger: &Ledger, history: &[&str]) -> Verdict {
        let history = history.iter().map(|text| (*text).to_owned()).collect();
        ledger.verdict(&BTreeMap::from([(PHONE, history)]))
    }

    fn accepted() -> Ledger {
        let ledger = Ledger::default();
        ledger.sent(HELLO, "hello");
        ledger.accepted_for(HELLO, PHONE);
        ledger
    }

    /// I10: what was accepted and is neither shown nor in the store is lost, and is said to be until it comes.
    #[test]
    fn an_accepted_message_that_is_not_shown_is_lost() {
        let ledger = accepted();
        assert_eq!(ledger.outstanding(), 1);
        assert_eq!(judge(&ledger, &[]).lost.len(), 1);
        ledger.shown(PHONE, "hello");
        assert_eq!(ledger.outstanding(), 0);
        assert!(judge(&ledger, &["hello"]).is_clean());
    }

    /// I2: what was shown is in the store, whatever happens next.
    #[test]
    fn a_shown_message_that_is_not_kept_is_lost() {
        let ledger = accepted();
        ledger.shown(PHONE, "hello");
        assert_eq!(judge(&ledger, &[]).lost.len(), 1);
    }

    /// A device that died before it could show a message shows it when it is opened again.
    #[test]
    fn a_message_in_the_store_is_not_lost() {
        let ledger = accepted();
        ledger.in_store(PHONE, [&"hello".to_owned()]);
        assert!(judge(&ledger, &["hello"]).is_clean());
    }

    /// I3
    #[test]
    fn a_message_that_comes_again_is_shown_twice() {
        let ledger = accepted();
        ledger.shown(PHONE, "hello");
        ledger.shown(PHONE, "hello");
        assert_eq!(judge(&ledger, &["hello"]).shown_twice.len(), 1);
        assert_eq!(judge(&accepted(), &["hello", "hello"]).shown_twice.len(), 1);
    }
}
