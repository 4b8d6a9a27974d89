//! `report`: tells the operator of the own server of a message, after showing exactly what.

use halcyon_client::{ReportDraft, ReportedPart, SealedMessage};
use halcyon_types::SuiteId;
use serde::Serialize;

use super::{Context, act, sessions};
use crate::args::ReportMessage;
use crate::failure::Failure;
use crate::line::{address_words, time_words};
use crate::output::{Output, Style};
use crate::session::Session;

/// All that would be told, and nothing else.
#[derive(Serialize)]
struct DraftLine {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whose operator is told.
    server: String,
    account: String,
    device: String,
    reported_ms: u64,
    note: String,
    message: String,
    sender: String,
    sender_account: String,
    sender_device: String,
    recipient: Option<String>,
    suite: Option<u32>,
    sent_ms: u64,
    received_ms: u64,
    subject: String,
    parts: Vec<PartLine>,
}

#[derive(Serialize)]
struct PartLine {
    kind: String,
    text: String,
    /// What it said before, oldest first.
    earlier: Vec<String>,
}

#[derive(Serialize)]
struct ReportedLine {
    #[serde(rename = "type")]
    kind: &'static str,
    report: String,
    kept_until_ms: u64,
}

pub(super) async fn run(context: &mut Context, options: &ReportMessage) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = report(context, &session, options).await;
    session.close().await;
    result
}

/// ACC-64: shows what would be told, asks, and tells that.
async fn report(context: &mut Context, session: &Session, options: &ReportMessage) -> Result<(), Failure> {
    let message = act::find(session, &options.message)?;
    let message = SealedMessage { device: message.sender_device, message: message.id };
    let draft = session.client().draft_report(message, options.note.as_deref().unwrap_or_default())?;
    let line = DraftLine::from(&draft);
    context.output.result(&line, |output| line.words(output))?;
    let question = format!("tell the operator of {} all of this, unencrypted? yes or no", draft.server());
    sessions::sure(context, options.yes, &question).await?;
    let told = context.in_time("the server's answer", session.client().report(draft)).await??;
    let line = ReportedLine { kind: "reported", report: told.id, kept_until_ms: told.kept_until.as_millis() };
    context.output.result(&line, |output| {
        let told = format!("The operator has it as report {}", line.report);
        format!("{} until {}", output.styled(Style::Good, told), time_words(line.kept_until_ms))
    })
}

impl From<&ReportDraft> for DraftLine {
    fn from(draft: &ReportDraft) -> Self {
        let report = draft.report();
        let part = |part: &ReportedPart| PartLine {
            kind: part.kind.clone(),
            text: part.text.clone(),
            earlier: part.earlier.clone(),
        };
        Self {
            kind: "report-draft",
            server: draft.server().to_owned(),
            account: report.account.to_hex(),
            device: report.device.to_hex(),
            reported_ms: report.reported.as_millis(),
            note: report.note.clone(),
            message: report.message.to_hex(),
            sender: report.sender.to_string(),
            sender_account: report.sender_account.to_hex(),
            sender_device: report.sender_device.to_hex(),
            recipient: report.recipient.as_ref().map(ToString::to_string),
            suite: report.suite.map(SuiteId::as_u32),
            sent_ms: report.sent.as_millis(),
            received_ms: report.received.as_millis(),
            subject: report.subject.clone(),
            parts: report.parts.iter().map(part).collect(),
        }
    }
}

impl DraftLine {
    fn words(&self, output: &Output) -> String {
        let mut rows = vec![
            ("sender", format!("{}, account {}", address_words(&self.sender), self.sender_account)),
            ("", format!("device {}", self.sender_device)),
            ("message", self.message.clone()),
            ("sent", format!("{}, by the sender's clock", time_words(self.sent_ms))),
            ("came", format!("{}, by this device's clock", time_words(self.received_ms))),
        ];
        rows.extend(self.recipient.as_ref().map(|handle| ("to", address_words(handle))));
        rows.extend(self.suite.map(|suite| ("suite", SuiteId::from_u32(suite).to_string())));
        rows.extend((!self.subject.is_empty()).then(|| ("subject", self.subject.clone())));
        for part in &self.parts {
            rows.push((&part.kind, part.text.clone()));
            rows.extend(part.earlier.iter().rev().map(|said| ("  before", said.clone())));
        }
        rows.extend((!self.note.is_empty()).then(|| ("note", self.note.clone())));
        rows.push(("reporter", format!("account {}, device {}", self.account, self.device)));
        rows.push(("made", time_words(self.reported_ms)));
        // What is told has no characters that are unsafe to print (ACC-60).
        let row = |(name, value): (&str, String)| {
            let line = format!("    {name:<12}{}", value.replace('\n', &format!("\n{:16}", "")));
            line.trim_end().to_owned()
        };
        let head = format!("This is all that the operator of {} would be told, and nobody else:", self.server);
        let rows: Vec<String> = rows.into_iter().map(row).collect();
        format!("{}\n{}", output.styled(Style::Strong, head), rows.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Format;

    /// ACC-64: a person sees all of it before it is told: every field of the JSON stands in the words.
    #[test]
    fn a_draft_shows_everything() {
        let line = DraftLine {
            kind: "report-draft",
            server: "chat.example.org".into(),
            account: "01".repeat(16),
            device: "02".repeat(16),
            reported_ms: 1_700_000_060_000,
            note: "the third time".into(),
            message: "03".repeat(16),
            sender: "mailto:mallory@example.org".into(),
            sender_account: "04".repeat(16),
            sender_device: "05".repeat(16),
            recipient: Some("mailto:alice@example.org".into()),
            suite: Some(3),
            sent_ms: 1_700_000_000_000,
            received_ms: 1_700_000_001_000,
            subject: "you".into(),
            parts: vec![
                PartLine { kind: "text".into(), text: "worse\nand worse".into(), earlier: vec!["bad".into()] },
                PartLine { kind: "unsupported".into(), text: String::new(), earlier: Vec::new() },
            ],
        };
        insta::assert_snapshot!(line.words(&Output::plain(Format::Text)));
        insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
    }
}
