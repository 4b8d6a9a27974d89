//! Telling the operator of one's own server of a message. Spec: 20-accounts.md §6 (ACC-60, ACC-64).
//!
//! Owns what is told: what this device shows of the message, and what it knows of whom it came from. Does not decide what a person is
//! asked before; whoever calls shows them [`ReportDraft::report`].
//!
//! - What is told is what was shown: a draft does not change between being shown and being sent.
//! - Nothing is told of anybody but the sender and oneself.

use halcyon_content::{Link, Part, SealedMessage};
use halcyon_directory::report::{NOTE_BYTES_MAX, REPORT_BYTES_MAX, Report, ReportedPart, SignedReport};
use halcyon_types::{Timestamp, for_display};

use crate::{
    api::Request,
    client::Client,
    error::ReportError,
    event::{ShownMessage, ShownPart},
    handles, history,
    ports::store::{MessageKind, MessageRecord, Origin},
};

/// Bytes of what a message says and said: what a report has room for beside its note and ids. The longest text fits three times.
const TEXTS_BYTES_MAX: usize = REPORT_BYTES_MAX - 8 * 1024;

/// What would be told, for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDraft {
    server: String,
    report: Report,
}

/// What the server did with a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// By what the operator can be asked about it.
    pub id: String,
    /// Until when the operator has it, unless it is dropped before.
    pub kept_until: Timestamp,
}

impl ReportDraft {
    /// Returns whose operator would be told: the host of the own server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns all that would be told.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl Client {
    /// Returns what would be told of a message (ACC-64). Nothing leaves.
    ///
    /// # Errors
    /// [`ReportError`]
    pub fn draft_report(&self, message: SealedMessage, note: &str) -> Result<ReportDraft, ReportError> {
        let inner = &*self.inner;
        let mut state = inner.state();
        let (account, device) = state.own().map(|own| (own.account, own.device))?;
        // A change of a group is nobody's message.
        let is_there = |record: &MessageRecord| record.deleted.is_none() && record.message.kind != MessageKind::Change;
        let record = state.shown_record(message)?.filter(is_there).ok_or(ReportError::NoSuchMessage)?;
        if record.message.origin != Origin::Peer {
            return Err(ReportError::Own);
        }
        let note = for_display(note.trim()).into_owned();
        if note.len() > NOTE_BYTES_MAX {
            return Err(ReportError::Note);
        }
        let sender_account = record.message.sender_account;
        let own_handles = handles::own_handles(state.store())?;
        let shown = history::shown(&mut state, record, &[])?;
        let report = Report {
            account,
            device,
            reported: inner.now(),
            note,
            message: shown.id,
            sender_account,
            sender_device: shown.sender_device,
            // Not who else it went to: they reported nothing.
            recipient: shown.recipients.iter().find(|handle| own_handles.contains(handle)).cloned(),
            suite: shown.suite,
            sent: shown.sent,
            received: shown.stored,
            subject: shown
                .subject
                .as_ref()
                .map(|subject| for_display(subject.as_str()).into_owned())
                .unwrap_or_default(),
            parts: parts(&shown),
            sender: shown.sender,
        };
        Ok(ReportDraft { server: inner.server.host().to_owned(), report })
    }

    /// Tells the operator what a draft says, signed by this device (ACC-61). Whoever sent the message is told nothing.
    ///
    /// # Errors
    /// [`ReportError`]
    pub async fn report(&self, draft: ReportDraft) -> Result<Reported, ReportError> {
        let inner = &*self.inner;
        let signed = SignedReport::sign(draft.report, &inner.state().own()?.keys.device)?;
        let answer = inner.call_signed(Request::report(&signed), |request| inner.api.report(request)).await?;
        answer.map_err(ReportError::of_api)
    }
}

/// What this device shows of the parts, and of what they said before as much as there is room for, the newest first.
fn parts(message: &ShownMessage) -> Vec<ReportedPart> {
    let mut room = TEXTS_BYTES_MAX;
    let mut parts: Vec<ReportedPart> = message.parts.iter().map(|part| part_as_shown(part, &mut room)).collect();
    for (shown, part) in message.parts.iter().zip(&mut parts).filter(|(shown, _)| !shown.unsent) {
        for earlier in shown.earlier.iter().rev() {
            let said = for_display(&earlier.text).into_owned();
            if said.len() > room {
                break;
            }
            room -= said.len();
            part.earlier.insert(0, said);
        }
    }
    if parts.is_empty() {
        // CON-5: all that can be said is that there is one.
        parts.push(ReportedPart { kind: "unsupported".to_owned(), text: String::new(), earlier: Vec::new() });
    }
    parts
}

fn part_as_shown(part: &ShownPart, room: &mut usize) -> ReportedPart {
    let (kind, text) = match (&part.text, &part.carried) {
        _ if part.unsent => ("unsent", String::new()),
        (Some(text), _) => ("text", text.text.clone()),
        (None, Some(Part::Location(location))) => {
            ("location", lines([location.name(), Some(&location.geo_uri())].into_iter()))
        }
        (None, Some(Part::Contact(contact))) => ("contact", contact.as_vcard().replace("\r\n", "\n")),
        (None, Some(Part::Link(link))) => ("link", link_as_shown(link)),
        (None, _) => ("unsupported", String::new()),
    };
    let text = cut(&for_display(&text), *room).to_owned();
    *room -= text.len();
    ReportedPart { kind: kind.to_owned(), text, earlier: Vec::new() }
}

fn link_as_shown(link: &Link) -> String {
    lines([Some(link.address().as_str()), link.title(), link.summary()].into_iter())
}

fn lines<'a>(lines: impl Iterator<Item = Option<&'a str>>) -> String {
    lines.flatten().collect::<Vec<_>>().join("\n")
}

/// A text of control characters is three times as long when it is safe to print; what does not fit is left out, so that nothing can be
/// written that cannot be reported.
fn cut(text: &str, room: usize) -> &str {
    &text[..text.floor_char_boundary(room)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACC-64: whatever the message, its report is small enough for every server; what was said last has precedence.
    #[test]
    fn there_is_room_for_the_worst() {
        let evil = for_display(&"\u{1b}".repeat(12_000)).into_owned();
        assert_eq!(cut(&evil, 36_000), evil);
        assert_eq!(cut(&evil, 100), "\u{fffd}".repeat(33));
        assert_eq!(cut("short", 100), "short");
        const { assert!(TEXTS_BYTES_MAX + NOTE_BYTES_MAX + 4096 < REPORT_BYTES_MAX) }
    }
}
