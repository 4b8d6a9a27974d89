//! Named places at which a test may kill the process, as a power cut or an impatient operator would.
//!
//! Owns the names, and the dials that make rare things frequent. Does not know what happens around a point: each says at its place in the code what is done before and after it.
//!
//! - Built without the feature `armed`, [`hit`] and [`dial`] are empty functions; nothing else in the workspace asks for the feature.
//! - Armed, a process dies only if `HALCYON_FAILPOINT` names a point: `HALCYON_FAILPOINT=server.sync:3` lets the third passage abort.
//!   An abort runs no destructor and writes nothing, like SIGKILL; it is told apart from one by the signal.

/// The variable that names a point and how many passages it lets through before the last: `NAME:COUNT`.
pub const VARIABLE: &str = "HALCYON_FAILPOINT";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place at which a process may be killed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point, in the order of a message's way.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Returns the name by which [`VARIABLE`] knows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The server: sends are checked and gathered, and the store has nothing of them.
    ServerAccept = "server.accept",
    /// The server: a transaction with envelopes is written, and not committed.
    ServerAppend = "server.append",
    /// The server: it is committed and synced, and nobody was told.
    ServerSync = "server.sync",
    /// The server: envelopes are stored, and their sender's answer is about to be written.
    ServerAnswer = "server.answer",
    /// The server: an envelope is stored, and about to be offered to its device.
    ServerPush = "server.push",
    /// The server: the deletion of what was acknowledged is written, and not committed.
    ServerDelete = "server.delete",
    /// The server: that deletion is committed.
    ServerDeleted = "server.deleted",
    /// The server: the deletion of what expired is written, and not committed.
    ServerExpire = "server.expire",
    /// The server: the log of the mailboxes was written back into the database.
    ServerWriteBack = "server.write-back",
    /// The server: what waited in the oldest part of the mailboxes' log was moved to the table, and is committed.
    ServerFold = "server.fold",
    /// The client: a message is sealed for every device, and nothing is committed.
    ClientSealed = "client.sealed",
    /// The client: message, envelopes and sessions are committed, and nothing has left.
    ClientCommitted = "client.committed",
    /// The client: a frame was given to the network.
    ClientWritten = "client.written",
    /// The client: the server's answer to a send is here, and the outbox does not know.
    ClientAnswer = "client.answer",
    /// The client: the outbox is committed without what was accepted.
    ClientAnswered = "client.answered",
    /// The client: a delivery is opened, and nothing of it is committed.
    ClientOpened = "client.opened",
    /// The client: message, session, marks and receipt are committed, nobody was told, and nothing is acknowledged.
    ClientReceived = "client.received",
    /// The client: the message was shown, and is about to be acknowledged.
    ClientShown = "client.shown",
    /// The client: the acknowledgement was handed to the connection.
    ClientAcknowledged = "client.acknowledged",
    /// The client: a receipt is in the outbox.
    ClientReceipt = "client.receipt",
}

/// A number that a test turns, so that what is rare happens while it looks. `HALCYON_DIAL_EXPIRE_EVERY_MS=300` sets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dial {
    /// How often the server looks for envelopes that expired, in milliseconds.
    ExpireEveryMs,
    /// Bytes of envelopes after which the server writes the log of the mailboxes back.
    WriteBackBytes,
    /// Bytes of the mailboxes' log from which on the server folds it.
    FoldBytes,
}

impl Dial {
    /// Returns the variable that sets it.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::ExpireEveryMs => "HALCYON_DIAL_EXPIRE_EVERY_MS",
            Self::WriteBackBytes => "HALCYON_DIAL_WRITE_BACK_BYTES",
            Self::FoldBytes => "HALCYON_DIAL_FOLD_BYTES",
        }
    }
}

/// Returns what a dial is set to, if it is.
#[cfg(not(feature = "armed"))]
#[inline(always)]
#[must_use]
pub fn dial(_dial: Dial) -> Option<u64> {
    None
}

/// Returns what a dial is set to, if it is.
#[cfg(feature = "armed")]
#[must_use]
pub fn dial(dial: Dial) -> Option<u64> {
    std::env::var(dial.variable()).ok()?.parse().ok()
}

/// Passes a point; dies there if the environment says so.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub fn hit(_point: Point) {}

/// Passes a point; dies there if the environment says so.
#[cfg(feature = "armed")]
pub fn hit(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|value| parse(&value)));
    if let Some((name, count)) = armed
        && name == point.name()
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        std::process::abort();
    }
}

/// Reads `NAME:COUNT`.
#[cfg(any(feature = "armed", test))]
fn parse(value: &str) -> Option<(String, u64)> {
    let (name, count) = value.split_once(':')?;
    Some((name.to_owned(), count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_count() {
        assert_eq!(parse("server.sync:3"), Some(("server.sync".to_owned(), 3)));
        assert_eq!(parse("server.sync"), None);
        assert_eq!(parse("server.sync:often"), None);
    }

    #[test]
    fn no_two_points_have_the_same_name() {
        let mut names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
