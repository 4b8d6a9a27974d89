//! Open files: every connection is one, and a process has so many. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns the sharing of what the operating system allows. Does not know connections.
//!
//! - What the listeners may take together leaves enough for the stores, whatever connects: a server that runs out cannot
//!   open its own database.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rush::HELD_MAX;

/// How many connections the listeners may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The courier's, over both bindings.
    pub courier: usize,
    /// Those of HTTPS, the ones that become WebSockets included.
    pub https: usize,
}

/// Raises this process's limit of open files as far as the operating system lets it. For the program to call, once:
/// a limit is the whole process's.
///
/// A process that may not raise it keeps what it has, which [`share`] respects.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::debug!("the limit of open files stays as it is");
    }
}

/// Returns what the listeners get of what they `want`, if this process may not open as many files.
#[must_use]
pub fn share(want: Shares) -> Shares {
    let limit =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let got = shared(want, limit);
    if got != want {
        tracing::warn!(
            open_files = limit,
            courier = got.courier,
            https = got.https,
            "fewer connections than configured: this process may not open more files; raise its limit (ulimit -n, LimitNOFILE)"
        );
    }
    got
}

fn shared(want: Shares, limit: usize) -> Shares {
    let room = limit.saturating_sub(OTHERS_MIN).max(2);
    // HTTPS gets a quarter at least: without it nobody can look anybody up.
    let https = want.https.min((room / 4).max(room.saturating_sub(want.courier)));
    Shares { courier: want.courier.min(room - https), https }
}

/// Files beside connections of clients: stores and their journals (20), mails (8), the operator's listener (64), certificates, the
/// runtime; and who is turned away at two doors.
const OTHERS_MIN: usize = 200 + 2 * HELD_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-14: connections never take the files that the stores need.
    #[test]
    fn the_stores_keep_theirs() {
        let want = Shares { courier: 50_000, https: 10_000 };
        assert_eq!(shared(want, usize::MAX), want);
        assert_eq!(shared(want, 60_000 + OTHERS_MIN), want);
        assert_eq!(shared(want, 20_000 + OTHERS_MIN), Shares { courier: 15_000, https: 5_000 });
        assert_eq!(shared(want, 1_024), Shares { courier: 522, https: 174 });
        for limit in 0..70_000 {
            let Shares { courier, https } = shared(want, limit);
            assert!(courier > 0 && https < limit.max(2) && courier + https <= limit.saturating_sub(OTHERS_MIN).max(2));
        }
        assert_eq!(shared(Shares { courier: 10, https: 10_000 }, 1_024), Shares { courier: 10, https: 686 });
    }
}
