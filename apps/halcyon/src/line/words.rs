//! Lines in words, for people.
//!
//! - Everything that a peer or server chose goes through `sanitize` or `one_line` (CON-3).

use halcyon_types::Timestamp;

use super::message::{StyleLine, TapbackLine, TargetLine, stretches};
use super::{
    ActLine, AlertLine, ChangeLine, ConnectionLine, DeliveryLine, GapLine, Line, MessageLine, ReceiptLine, RepairLine,
};
use crate::output::{Output, Style};
use crate::text::{one_line, sanitize};

/// What stands for a device whose name is not known: enough of its id to tell devices apart.
const SHORT_ID_CHARS: usize = 8;

impl Line {
    /// Returns the line in words.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        match self {
            Self::Message(message) => message.words(output),
            Self::Act(act) => act.words(output),
            Self::GroupChange(change) => change.words(output),
            Self::Delivery(delivery) => delivery.words(output),
            Self::Named(named) => named.words(output),
            Self::Receipt { message, receipt } => {
                output.styled(Style::Good, format!("{} {}", short(message), receipt.words()))
            }
            Self::Typing { by, typing, .. } => {
                let what = if *typing { "is typing" } else { "stopped typing" };
                output.styled(Style::Faint, format!("{} {what}", address(by)))
            }
            Self::Chosen { choices, read } => output.styled(
                Style::Faint,
                format!("another device of yours: {choices} chosen, {} read", messages(*read as u64)),
            ),
            // It is no news for a person: it is being repaired, and that is said.
            Self::Unopened { device, cause } if cause == "no-key" => {
                let from = device.as_deref().map_or("an unknown device", short);
                let words = format!("a message from {} does not open yet; it is asked for again", one_line(from));
                output.styled(Style::Faint, words)
            }
            Self::Unopened { device, cause } => {
                let from = device.as_deref().map_or("an unknown device", short);
                output
                    .styled(Style::Bad, format!("something from {} did not open: {}", one_line(from), one_line(cause)))
            }
            Self::Repair(repair) => repair.words(output),
            Self::Gap(gap) => gap.words(output),
            Self::DevicesChanged { handle, changes } => {
                let changes: Vec<String> = changes.iter().map(ChangeLine::words).collect();
                output.styled(Style::Strong, format!("devices of {}: {}", address(handle), changes.join(", ")))
            }
            Self::Alert(alert) => alert.words(output),
            Self::Connection(connection) => output.styled(Style::Faint, connection.words()),
            Self::Missed { count } => {
                output.styled(Style::Bad, format!("{count} events went by unread; `halcyon history` has the messages"))
            }
        }
    }
}

impl MessageLine {
    /// Returns the message in words: who, from which device, in which suite, what.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let time = output.styled(Style::Faint, format!("[{} #{}]", time(self.sent_ms), self.number));
        let device = self.sender_device_name.as_deref().map_or_else(|| short(&self.sender_device).to_owned(), one_line);
        let suite = self.suite.as_deref().map(|suite| format!(", {suite}")).unwrap_or_default();
        let who = match &self.sender_name {
            Some(name) => format!("{} <{}>", one_line(name), address(&self.sender)),
            None => address(&self.sender),
        };
        let sender = output.styled(Style::Strong, who);
        let recipients: Vec<String> = self.recipients.iter().map(|handle| address(handle)).collect();
        // Between two people, who it is for goes without saying when it came from the other one.
        let to = match &self.group {
            Some(group) => format!(" in {}", group.words()),
            None if self.origin == "peer" && recipients.len() == 1 => String::new(),
            None => format!(" to {}", recipients.join(", ")),
        };
        let carried = self.carried.words();
        let text = match &self.text {
            // A further line is indented, so that it cannot pass for another message.
            Some(text) => [&[self.looking(text, output)], &carried[..]].concat().join("\n").replace('\n', "\n    "),
            None if self.unsent => output.styled(Style::Faint, "(unsent)"),
            None if !carried.is_empty() => carried.join("\n    "),
            None => output.styled(Style::Faint, "(a message that this version cannot show)"),
        };
        let answers = match &self.reply_to {
            Some(target) => format!(", in answer to {}", target.words()),
            None => String::new(),
        };
        let edited = match self.edited_ms {
            Some(_) => output.styled(Style::Faint, " (edited)"),
            None => String::new(),
        };
        let effect = match self.effect {
            Some(effect) => format!(", with {}", effect.replace('-', " ")),
            None => String::new(),
        };
        let subject = match &self.subject {
            Some(subject) => format!("{}\n    ", output.styled(Style::Strong, one_line(subject))),
            None => String::new(),
        };
        // CON-52: never in place of a name that this person gave.
        let maybe = match self.sender_maybe.as_ref().filter(|_| self.sender_name.is_none()) {
            Some(name) => format!(" (maybe: {})", one_line(name)),
            None => String::new(),
        };
        let mut words =
            format!("{time} {sender}{maybe}{to} ({device}{suite}{answers}{effect}): {subject}{text}{edited}");
        if !self.tapbacks.is_empty() {
            let one = |one: &TapbackLine| format!("{} {}", one_line(&one.tapback), address(&one.by));
            let tapbacks: Vec<String> = self.tapbacks.iter().map(one).collect();
            words.push_str(&output.styled(Style::Faint, format!("\n    ({})", tapbacks.join(", "))));
        }
        for receipt in &self.receipts {
            words.push_str(&output.styled(Style::Faint, format!("\n    ({})", receipt.words())));
        }
        words
    }
}

impl ReceiptLine {
    /// Returns the receipt in words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} by {} {}", self.receipt, address(&self.by), time(self.at_ms))
    }
}

impl MessageLine {
    /// Returns the text as its writer wants it to look, so far as a terminal can.
    fn looking(&self, text: &str, output: &Output) -> String {
        let stretch = |(stretch, style, is_mention): (&str, Option<&StyleLine>, bool)| {
            output.looking(style.map_or(&[][..], |style| &style.styles), is_mention, &sanitize(stretch))
        };
        stretches(text, &self.styles, &self.mentions).into_iter().map(stretch).collect()
    }
}

impl TargetLine {
    fn words(&self) -> String {
        match self.number {
            Some(number) => format!("#{number}"),
            None => format!("a message that is not here ({})", short(&self.message)),
        }
    }
}

impl ActLine {
    /// Returns the act in words: who did what to which message.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let time = output.styled(Style::Faint, format!("[{} #{}]", time(self.sent_ms), self.number));
        let sender = output.styled(Style::Strong, address(&self.sender));
        let tapback = one_line(self.tapback.as_deref().unwrap_or_default());
        let message = self.on.words();
        let what = match (self.act, &self.text) {
            ("tapback", _) => format!("{tapback} on {message}"),
            ("tapback-removed", _) => format!("took {tapback} back from {message}"),
            ("edit", Some(text)) => format!("edited {message}: {}", sanitize(text).replace('\n', "\n    ")),
            ("unsend", _) => format!("unsent {message}"),
            _ => format!("did something to {message} that this version cannot show"),
        };
        format!("{time} {sender}: {what}")
    }
}

impl RepairLine {
    /// Returns the repair in words; one that takes long says why, and what to do.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let whose = whose(&self.handle, self.device_name.as_deref(), &self.device);
        let what = match (self.unopened as u64).saturating_add(self.missing) {
            0 => format!("asking {whose} what this device missed"),
            count => format!("repairing {} from {whose}", messages(count)),
        };
        match (self.step, &self.advice) {
            ("done", _) if self.lost > 0 => {
                let lost = messages(self.lost);
                output
                    .styled(Style::Strong, format!("repaired, except for {lost} from {whose} that cannot be recovered"))
            }
            ("done", _) => output.styled(Style::Good, format!("repaired: nothing from {whose} is missing")),
            ("stuck", Some(advice)) => {
                let since = time(self.since_ms);
                output.styled(Style::Bad, format!("{what}, since {since}: {}", one_line(advice)))
            }
            _ => output.styled(Style::Faint, format!("{what} ...")),
        }
    }
}

impl GapLine {
    /// Returns the gap in words: what is missing, and what is not to be expected any more.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let whose = whose(&self.handle, self.device_name.as_deref(), &self.device);
        let are = |count| if count == 1 { "is" } else { "are" };
        let they_were = if self.missing == 1 { "it was" } else { "they were" };
        let mut words = Vec::new();
        if self.missing > 0 {
            let (messages, are) = (messages(self.missing), are(self.missing));
            words.push(format!("{messages} from {whose} {are} missing here; {they_were} asked for"));
        }
        if self.lost > 0 {
            let (messages, them) = (messages(self.lost), if self.lost == 1 { "it" } else { "them" });
            words
                .push(format!("{messages} from {whose} cannot be recovered: the sender's device no longer has {them}"));
        }
        output.styled(Style::Faint, format!("    ({})", words.join("; ")))
    }
}

impl DeliveryLine {
    /// Returns the delivery in words.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let device = self.device_name.as_deref().map_or_else(|| short(&self.device).to_owned(), one_line);
        let own = if self.own { "own device " } else { "" };
        let suite = self.suite.as_deref().map(|suite| format!(" ({suite})")).unwrap_or_default();
        let message = short(&self.message);
        match self.state {
            "delivered" => output.styled(Style::Good, format!("{message} delivered to {own}{device}{suite}")),
            "failed" => {
                let reason = one_line(self.reason.as_deref().unwrap_or("no reason given"));
                output.styled(Style::Bad, format!("{message} failed for {own}{device}: {reason}"))
            }
            state => output.styled(Style::Faint, format!("{message} {state} for {own}{device}{suite}")),
        }
    }
}

impl ChangeLine {
    /// Returns the change in words.
    #[must_use]
    pub fn words(&self) -> String {
        let name = one_line(self.name.as_deref().unwrap_or("a device"));
        match self.change {
            "first-met" => "met for the first time".to_owned(),
            "device-added" => format!("{name} is new"),
            "device-removed" => format!("{name} is gone"),
            "device-renamed" => format!("one is now called {name}"),
            _ => "changed in a way that this version does not know".to_owned(),
        }
    }
}

impl AlertLine {
    /// Returns the alert in words, with what to do about it.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let device = one_line(self.device_name.as_deref().unwrap_or("a device"));
        let handle = self.handle.as_deref().map(address).unwrap_or_default();
        let reason = one_line(self.reason.as_deref().unwrap_or_default());
        let what = match self.notice {
            "device-added" => format!(
                "device {device} joined this account; if that was not you, remove it with `halcyon devices remove`"
            ),
            "device-removed" => format!("device {device} was removed from this account"),
            "handle-added" => format!("{handle} was added to this account"),
            "handle-removed" => format!("{handle} was removed from this account"),
            "link-requested" => {
                format!("device {device} asks to join this account: `halcyon approve`, or `halcyon approve --reject`")
            }
            "refused" => format!("an answer about {handle} was refused: {reason}"),
            "link-tampered" => format!("somebody tampered with the linking of {device}; it was not linked"),
            "device-copied" => format!(
                "{device} of {handle} was copied, or goes on from an old backup: two devices write as one; ask them over another way"
            ),
            "profile-restored" => "this profile is an older copy of itself, as a backup that was brought back: it is fetching what it \
                missed; stay online (`halcyon listen`) until no repair is shown any more, and use the copy on no other machine"
                .to_owned(),
            "server-went-back" => "the server went back to an older state, as after a backup of its own: what it lost is found and \
                sent again by itself; devices, addresses or a password that changed since may have to be changed again"
                .to_owned(),
            "removed" => "this device was removed from its account".to_owned(),
            _ => "the server says something that this version does not know".to_owned(),
        };
        let alarm = matches!(self.notice, "refused" | "link-tampered" | "device-copied" | "removed");
        let style = if alarm { Style::Bad } else { Style::Strong };
        format!("{} {}", output.styled(Style::Faint, format!("[{}]", time(self.at_ms))), output.styled(style, what))
    }
}

impl ConnectionLine {
    fn words(&self) -> String {
        let cause = one_line(self.cause.as_deref().unwrap_or_default());
        match self.state {
            "waiting" => format!("no connection: {cause}; it is tried again"),
            "refused" => format!("the server refuses this device: {cause}"),
            state => state.to_owned(),
        }
    }
}

/// Returns a device as people know it: whose it is, and what it is called.
pub(crate) fn whose(handle: &str, name: Option<&str>, device: &str) -> String {
    format!("{} ({})", address(handle), name.map_or_else(|| short(device).to_owned(), one_line))
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// Returns the first characters of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT_ID_CHARS).unwrap_or(id)
}

/// Returns a handle as people read it, without its scheme.
pub(crate) fn address(handle: &str) -> String {
    one_line(handle.split_once(':').map_or(handle, |(_, address)| address))
}

/// Returns a time as `2026-05-04 09:30:00Z`.
pub(crate) fn time(millis: u64) -> String {
    Timestamp::from_millis(millis).to_utc()
}
