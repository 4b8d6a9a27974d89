//! What a person types: a line to send, or a command that begins with a slash.
//!
//! Owns the grammar. Does not do anything, and does not know which devices run.
//!
//! - Every line means something or is refused with a reason: nothing is sent by mistake that began with a slash.
//!   `//` at the start sends a line that begins with one.

use crate::cast::{Device, Person};

/// What `/help` prints.
pub(crate) const HELP: &str = "\
A line is sent by the device that speaks, to the other person.
  /as bob, /as alice laptop   who speaks from now on
  /offline tablet             disconnect a device (what is sent to it waits at the server)
  /online tablet              connect it again
  /lose tablet                delete a device's sessions, as a damaged disk would, and see them mend
  /suite pair|pair-ec|pq3|auto
                              force a suite, or let the client choose the strongest
  /devices                    devices with ids, suites, and whether they are online
  /security                   suite, last key exchanges and list version, device by device
  /history                    what the device that speaks has stored
  /help, /quit
  //text                      send a line that begins with a slash
A device name that both people use is qualified: alice phone, bob phone.";

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing.
    Empty,
    /// Send this.
    Say(String),
    As(Device),
    Offline(Device),
    Online(Device),
    Lose(Device),
    Suite(SuiteChoice),
    Devices,
    Security,
    History,
    Help,
    Quit,
}

/// Which suite messages are sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuiteChoice {
    /// The strongest that both ends speak.
    Auto,
    Pair,
    PairEc,
    Pq3,
}

/// Why a line means nothing. The person's move; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("there is no command {0}; /help lists them")]
    Unknown(String),
    #[error("{0} takes a device: alice phone, alice laptop, bob phone, bob tablet")]
    DeviceMissing(&'static str),
    #[error("there is no device {0}: alice has phone and laptop, bob has phone and tablet")]
    NoSuchDevice(String),
    #[error("both have a {0}: say alice {0} or bob {0}")]
    Ambiguous(String),
    #[error("/suite takes pair, pair-ec, pq3 or auto")]
    Suite,
}

impl Command {
    /// Understands one line.
    pub(crate) fn parse(line: &str) -> Result<Self, CommandError> {
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() {
            return Ok(Self::Empty);
        }
        if let Some(text) = line.strip_prefix("//") {
            return Ok(Self::Say(format!("/{text}")));
        }
        if !line.starts_with('/') {
            return Ok(Self::Say(line.to_owned()));
        }
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        match name {
            "/as" => speaker(&rest).map(Self::As),
            "/offline" => device("/offline", &rest).map(Self::Offline),
            "/online" => device("/online", &rest).map(Self::Online),
            "/lose" => device("/lose", &rest).map(Self::Lose),
            "/suite" => suite(&rest).map(Self::Suite),
            "/devices" => Ok(Self::Devices),
            "/security" => Ok(Self::Security),
            "/history" => Ok(Self::History),
            "/help" => Ok(Self::Help),
            "/quit" | "/exit" => Ok(Self::Quit),
            _ => Err(CommandError::Unknown(name.to_owned())),
        }
    }
}

/// A person alone means the person's first device.
fn speaker(words: &[&str]) -> Result<Device, CommandError> {
    if let [word] = words
        && let Some(person) = Person::ALL.into_iter().find(|person| person.name() == *word)
    {
        return Ok(person.devices()[0]);
    }
    device("/as", words)
}

fn device(command: &'static str, words: &[&str]) -> Result<Device, CommandError> {
    let fits: Vec<Device> = match words {
        [] => return Err(CommandError::DeviceMissing(command)),
        [name] => Device::ALL.into_iter().filter(|device| device.name() == *name).collect(),
        [owner, name] => {
            Device::ALL.into_iter().filter(|device| device.owner().name() == *owner && device.name() == *name).collect()
        }
        _ => Vec::new(),
    };
    match fits.as_slice() {
        [device] => Ok(*device),
        [] => Err(CommandError::NoSuchDevice(words.join(" "))),
        _ => Err(CommandError::Ambiguous(words.join(" "))),
    }
}

fn suite(words: &[&str]) -> Result<SuiteChoice, CommandError> {
    match words {
        ["auto"] => Ok(SuiteChoice::Auto),
        ["pair"] => Ok(SuiteChoice::Pair),
        ["pair-ec"] => Ok(SuiteChoice::PairEc),
        ["pq3"] => Ok(SuiteChoice::Pq3),
        _ => Err(CommandError::Suite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_and_commands_are_not() {
        assert_eq!(Command::parse("hello /as bob\n"), Ok(Command::Say("hello /as bob".into())));
        assert_eq!(Command::parse("  indented"), Ok(Command::Say("  indented".into())));
        assert_eq!(Command::parse("//home"), Ok(Command::Say("/home".into())));
        assert_eq!(Command::parse(" \t\r\n"), Ok(Command::Empty));
        assert_eq!(Command::parse("/sned hello"), Err(CommandError::Unknown("/sned".into())));
    }

    #[test]
    fn devices_go_by_name_and_owner() {
        assert_eq!(Command::parse("/as bob"), Ok(Command::As(Device::BobPhone)));
        assert_eq!(Command::parse("/as bob tablet"), Ok(Command::As(Device::BobTablet)));
        assert_eq!(Command::parse("/as laptop"), Ok(Command::As(Device::AliceLaptop)));
        assert_eq!(Command::parse("/offline tablet"), Ok(Command::Offline(Device::BobTablet)));
        assert_eq!(Command::parse("/online alice phone "), Ok(Command::Online(Device::AlicePhone)));
        assert_eq!(Command::parse("/lose bob phone"), Ok(Command::Lose(Device::BobPhone)));
        assert_eq!(Command::parse("/offline phone"), Err(CommandError::Ambiguous("phone".into())));
        assert_eq!(Command::parse("/offline bob laptop"), Err(CommandError::NoSuchDevice("bob laptop".into())));
        assert_eq!(Command::parse("/offline"), Err(CommandError::DeviceMissing("/offline")));
    }

    #[test]
    fn suites_go_by_name() {
        assert_eq!(Command::parse("/suite pair"), Ok(Command::Suite(SuiteChoice::Pair)));
        assert_eq!(Command::parse("/suite pair-ec"), Ok(Command::Suite(SuiteChoice::PairEc)));
        assert_eq!(Command::parse("/suite pq3"), Ok(Command::Suite(SuiteChoice::Pq3)));
        assert_eq!(Command::parse("/suite auto"), Ok(Command::Suite(SuiteChoice::Auto)));
        assert_eq!(Command::parse("/suite pq9"), Err(CommandError::Suite));
    }
}
