//! `conversations`: with whom there is one, what was said last, what was not read.

use halcyon_client::ShownConversation;
use serde::Serialize;

use super::Context;
use crate::args::Conversations;
use crate::failure::Failure;
use crate::line::{GroupNameLine, Line, address_words};
use crate::output::{Output, Style};
use crate::session::Session;
use crate::text::one_line;

/// A conversation, or several that are with the same people.
#[derive(Serialize)]
pub(super) struct ConversationLine {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The ids of all of them, the one with the newest message first.
    conversations: Vec<String>,
    /// The group that talks in it.
    group: Option<GroupNameLine>,
    /// The others in it.
    members: Vec<String>,
    /// What each of them is called, in the same order.
    names: Vec<Option<String>>,
    /// The own address in it.
    own: Option<String>,
    /// Messages of others that were not read.
    unread: u64,
    muted: bool,
    pinned: bool,
    blocked: bool,
    /// Whether it is kept apart.
    unknown: bool,
    /// The newest message, or change of the group.
    last: Option<Line>,
}

pub(super) async fn run(context: &mut Context, options: &Conversations) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = list(context, &session, options);
    session.close().await;
    result
}

fn list(context: &Context, session: &Session, options: &Conversations) -> Result<(), Failure> {
    let mut listed = session.client().overview()?;
    listed.retain(|one| one.apart == options.unknown);
    if listed.is_empty() {
        context.output.note(if options.unknown { "Nobody is kept apart." } else { "There is no conversation yet." });
    }
    listed.iter().try_for_each(|one| show(context, one))
}

/// Prints a conversation.
///
/// # Errors
/// [`Failure`]
pub(super) fn show(context: &Context, shown: &ShownConversation) -> Result<(), Failure> {
    let line = ConversationLine::from(shown);
    context.output.result(&line, |output| line.words(output))
}

impl From<&ShownConversation> for ConversationLine {
    fn from(shown: &ShownConversation) -> Self {
        Self {
            kind: "conversation",
            conversations: shown.ids.iter().map(|id| id.to_hex()).collect(),
            group: shown.group.as_ref().map(GroupNameLine::from),
            members: shown.others.iter().map(ToString::to_string).collect(),
            names: shown.names.clone(),
            own: shown.own.as_ref().map(ToString::to_string),
            unread: shown.unread,
            muted: shown.muted,
            pinned: shown.pinned,
            blocked: shown.blocked,
            unknown: shown.apart,
            last: shown.last.as_ref().map(Line::of_message),
        }
    }
}

impl ConversationLine {
    fn words(&self, output: &Output) -> String {
        let who = |(handle, name): (&String, &Option<String>)| match name {
            Some(name) => format!("{} <{}>", one_line(name), address_words(handle)),
            None => address_words(handle),
        };
        let people: Vec<String> = self.members.iter().zip(&self.names).map(who).collect();
        let people = people.join(", ");
        let people = self.group.as_ref().map_or(people.clone(), |group| format!("{}: {people}", group.words()));
        let marks =
            [(self.pinned, "pinned"), (self.muted, "muted"), (self.blocked, "blocked"), (self.unknown, "unknown")];
        let mut marks: Vec<String> =
            marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect();
        if self.unread > 0 {
            marks.insert(0, output.styled(Style::Good, format!("{} new", self.unread)));
        }
        let marks = if marks.is_empty() { String::new() } else { format!("  ({})", marks.join(", ")) };
        let last = self.last.as_ref().map(|last| format!("\n    {}", last.words(output).replace('\n', "\n    ")));
        format!("{}{marks}{}", output.styled(Style::Strong, people), last.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Format;

    /// Text for eyes, JSON for programs.
    #[test]
    fn a_conversation_reads_well() {
        let line = ConversationLine {
            kind: "conversation",
            conversations: vec!["02".repeat(16)],
            group: None,
            members: vec!["mailto:bob@example.org".into(), "tel:+491701234567".into()],
            names: vec![Some("Bob\u{1b}[2J".into()), None],
            own: Some("mailto:alice@example.org".into()),
            unread: 2,
            muted: true,
            pinned: true,
            blocked: false,
            unknown: false,
            last: None,
        };
        insta::assert_snapshot!(line.words(&Output::plain(Format::Text)), @"Bob�[2J <bob@example.org>, +491701234567  (2 new, pinned, muted)");
        insta::assert_snapshot!(serde_json::to_string(&line).unwrap(), @r#"{"type":"conversation","conversations":["02020202020202020202020202020202"],"group":null,"members":["mailto:bob@example.org","tel:+491701234567"],"names":["Bob\u001b[2J",null],"own":"mailto:alice@example.org","unread":2,"muted":true,"pinned":true,"blocked":false,"unknown":false,"last":null}"#);
    }
}
