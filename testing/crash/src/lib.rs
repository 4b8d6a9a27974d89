//! Kills servers and clients, cuts power, fills disks, and counts what was lost.
//!
//! Owns the proof that "accepted" means on stable storage (I10), that nothing is acknowledged before it is committed (I2), and that
//! a message has its effect once (I3): with the real programs, real folders and real TLS.
//! Does not know how any of them works inside: it sees what people see.
//!
//! - What was accepted and what was shown is written down by the clients, not by the server that is on trial.
//! - A run that did not put the programs under load proves nothing, and fails.
//!
//! Next: [`ledger`] is the judge, [`town`] the people, [`kills`] the first story.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub mod bad_disk;
pub mod client_kills;
pub mod device;
pub mod disk;
pub mod kills;
pub mod ledger;
pub mod load;
pub mod person;
pub mod server;
pub mod town;

/// Tells whoever watches a long run how far it is.
#[allow(clippy::print_stderr, reason = "a run of half an hour must show that it lives")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Counts panics from now on: a client's task that panics takes nothing else with it, and would go unnoticed.
#[must_use]
pub fn count_panics() -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let (counter, report) = (count.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counter.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    count
}
