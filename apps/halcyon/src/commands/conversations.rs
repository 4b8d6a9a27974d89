//! `conversations`: with whom there is one, what was said last, what was not read.

use halcyon_client::{DeletedConversation, ShownConversation};
use serde::Serialize;

use super::Context;
use crate::args::Conversations;
use crate::failure::Failure;
use crate::line::{GroupNameLine, Line, address_words, time_words};
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

/// A conversation in which something was deleted that can be restored.
#[derive(Serialize)]
struct DeletedLine {
    #[serde(rename = "type")]
    kind: &'static str,
    conversations: Vec<String>,
    group: Option<GroupNameLine>,
    members: Vec<String>,
    names: Vec<Option<String>>,
    own: Option<String>,
    /// How many of its messages were deleted.
    messages: usize,
    /// When the last of them was.
    deleted_ms: u64,
    /// Until when all of them can be restored.
    until_ms: u64,
    /// Whether nothing else is left of it.
    whole: bool,
    /// The newest of them.
    last: Option<Line>,
}

pub(super) async fn run(context: &mut Context, options: &Conversations) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = list(context, &session, options);
    session.close().await;
    result
}

fn list(context: &Context, session: &Session, options: &Conversations) -> Result<(), Failure> {
    if options.deleted {
        return deleted(context, session);
    }
    let mut listed = session.client().overview()?;
    // OWN-23: of which nothing is left, it is listed among what was deleted.
    listed.retain(|one| one.apart == options.unknown && (one.last.is_some() || one.pinned || one.group.is_some()));
    if listed.is_empty() {
        context.output.note(if options.unknown { "Nobody is kept apart." } else { "There is no conversation yet." });
    }
    listed.iter().try_for_each(|one| show(context, one))
}

/// OWN-23
fn deleted(context: &Context, session: &Session) -> Result<(), Failure> {
    let listed = session.client().deleted_conversations()?;
    if listed.is_empty() {
        context.output.note("Nothing that was deleted can be restored.");
    }
    listed.iter().try_for_each(|one| {
        let line = DeletedLine::from(one);
        context.output.result(&line, |output| line.words(output))
    })
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

impl From<&DeletedConversation> for DeletedLine {
    fn from(deleted: &DeletedConversation) -> Self {
        let ConversationLine { conversations, group, members, names, own, last, .. } = (&deleted.conversation).into();
        Self {
            kind: "deleted-conversation",
            conversations,
            group,
            members,
            names,
            own,
            messages: deleted.messages.len(),
            deleted_ms: deleted.deleted.as_millis(),
            until_ms: deleted.until.as_millis(),
            whole: last.is_none(),
            last: deleted.messages.last().map(Line::of_message),
        }
    }
}

impl DeletedLine {
    fn words(&self, output: &Output) -> String {
        let Self { messages, whole, .. } = self;
        let count = if *messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") };
        let what = if *whole { format!("all of it, {count}") } else { count };
        let until = time_words(self.until_ms);
        let last = last_words(self.last.as_ref(), output);
        let people = output.styled(Style::Strong, people_words(self.group.as_ref(), &self.members, &self.names));
        format!("{people}  ({what}, can be restored until {until}){last}")
    }
}

/// Who the others are, behind the name of their group.
fn people_words(group: Option<&GroupNameLine>, members: &[String], names: &[Option<String>]) -> String {
    let who = |(handle, name): (&String, &Option<String>)| match name {
        Some(name) => format!("{} <{}>", one_line(name), address_words(handle)),
        None => address_words(handle),
    };
    let people = members.iter().zip(names).map(who).collect::<Vec<_>>().join(", ");
    group.map_or(people.clone(), |group| format!("{}: {people}", group.words()))
}

/// The newest message, on a line of its own.
fn last_words(last: Option<&Line>, output: &Output) -> String {
    last.map(|last| format!("\n    {}", last.words(output).replace('\n', "\n    "))).unwrap_or_default()
}

impl ConversationLine {
    fn words(&self, output: &Output) -> String {
        let marks =
            [(self.pinned, "pinned"), (self.muted, "muted"), (self.blocked, "blocked"), (self.unknown, "unknown")];
        let mut marks: Vec<String> =
            marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect();
        if self.unread > 0 {
            marks.insert(0, output.styled(Style::Good, format!("{} new", self.unread)));
        }
        let marks = if marks.is_empty() { String::new() } else { format!("  ({})", marks.join(", ")) };
        let people = output.styled(Style::Strong, people_words(self.group.as_ref(), &self.members, &self.names));
        format!("{people}{marks}{}", last_words(self.last.as_ref(), output))
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

    /// OWN-23: what can be restored of a conversation, and until when.
    #[test]
    fn a_deleted_conversation_reads_well() {
        let mut line = DeletedLine {
            kind: "deleted-conversation",
            conversations: vec!["02".repeat(16)],
            group: None,
            members: vec!["mailto:bob@example.org".into()],
            names: vec![Some("Bob".into())],
            own: Some("mailto:alice@example.org".into()),
            messages: 2,
            deleted_ms: 1_700_000_000_000,
            until_ms: 1_702_592_000_000,
            whole: true,
            last: None,
        };
        insta::assert_snapshot!(line.words(&Output::plain(Format::Text)), @"Bob <bob@example.org>  (all of it, 2 messages, can be restored until 2023-12-14 22:13:20Z)");
        insta::assert_snapshot!(serde_json::to_string(&line).unwrap(), @r#"{"type":"deleted-conversation","conversations":["02020202020202020202020202020202"],"group":null,"members":["mailto:bob@example.org"],"names":["Bob"],"own":"mailto:alice@example.org","messages":2,"deleted_ms":1700000000000,"until_ms":1702592000000,"whole":true,"last":null}"#);
        (line.whole, line.messages) = (false, 1);
        insta::assert_snapshot!(line.words(&Output::plain(Format::Text)), @"Bob <bob@example.org>  (1 message, can be restored until 2023-12-14 22:13:20Z)");
    }
}
