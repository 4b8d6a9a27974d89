//! Seeds of worlds that once went wrong, with what was mended.

use halcyon_sim::{Options, run};

/// Seed, and what it found.
const SEEDS: &[(u64, &str)] = &[
    (1, "a client used a whole core while a connection was being made"),
    (8, "a client took refusals of what it had sealed before its lookup for a server that contradicts itself"),
    (
        62,
        "messages that a newer list made stale were sealed anew one by one, until those behind them lay too many turns back",
    ),
    (82, "a right to send that ran out each day before a full mailbox was taken for a server that contradicts itself"),
    (118, "a session was wiped while the last message of its chain was on its way for weeks"),
    (198, "a process that had ended told the world what had expired"),
    (15, "a mailbox could not be emptied for want of scratch space, and it was not tried again"),
    (566, "an answer that was on its way while another change was accepted was taken for a list that goes back"),
    (634, "the same, between a new address and a device that was removed"),
    (1251, "an answer that a newer list had overtaken on its way was taken for a list that goes back"),
    (1339, "the mailbox of a removed device was emptied without a sync, and was full again after a power cut"),
    (2939, "a device died between its approval and its own commit, and stood in the list without keys"),
    (3149, "what could not be sealed was tried again without a pause, while something behind it waited to be sent"),
    (218, "a sync that failed on a full disk was overlooked"),
    (418, "what waited for the prekeys of devices that were replaced meanwhile reached nobody"),
];

/// The same, of worlds in which something has to be repaired.
const SEEDS_OF_REPAIRS: &[(u64, &str)] = &[
    (40, "a rest that did not wait for the last message to be counted: the sim's own mistake"),
    (52, "the second of two envelopes with one message was said to be gone, since the first had mended it"),
    (66, "a question to an own device under another handle than the sender's was not believed, and never answered"),
    (
        86,
        "a device that went back to a time before it knew another did not ask it for what it had sealed in earlier streams",
    ),
    (142, "a device that had left its account was asked for ever"),
    (394, "a copy that sealed before it connected caught up with the original, and was not found out"),
    (1868, "two devices that could not open each other's questions asked each other every ten seconds"),
    (1594, "what was written to an address that another device had added was taken for somebody else's, and lost"),
    (2906, "a device that was restored asked for what it had confirmed before, and heard that it was gone"),
    (3504, "the first message of a new device of somebody known was dropped, and its counts were a stranger's"),
    (4352, "what was sealed anew for a question did not open either, and the first envelope was said to be gone"),
    (3036, "a sync that another act had taken back was taken for one that failed: the sim's own mistake"),
    (
        1480,
        "two devices each threw away what the other had just begun, for hours, while one could not publish a bundle on a full server",
    ),
    (9563, "what was written while another own device was being approved was not sealed for that one"),
    (
        5508,
        "the first message to a device that never heard of its writer was dropped, and its counts were a stranger's",
    ),
    (5062, "what went along with a count went to another address of its person than the one that it was written to"),
    (876, "a device that was removed is forgotten together with its epoch: the sim's own mistake"),
    (9322, "what was dropped while its writer was away for all the time in which it could tell: the sim's own mistake"),
    (804, "what a device wrote while it knew of no other own one never reached those that were there"),
];

/// The same, of worlds in which people react, edit and unsend, too.
const SEEDS_OF_ACTS: &[(u64, &str)] = &[
    (8, "a new device got what waited to be sealed, and not what was done to it since"),
    (30, "a reaction was lost with the disk of whoever made it: the sim's own mistake"),
];

#[test]
fn what_was_mended_stays_mended() {
    for (seed, found) in SEEDS {
        let report = run(*seed, Options::default()).unwrap();
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}: {found}");
    }
}

#[test]
fn repairs_that_were_mended_stay_mended() {
    for (seed, found) in SEEDS_OF_REPAIRS {
        let report = run(*seed, Options { has_repairs: true, ..Options::default() }).unwrap();
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}: {found}");
        assert_eq!((report.totals.unreadable, report.totals.gaps_open), (0, 0), "seed {seed}: {found}");
    }
}

#[test]
fn what_is_done_to_messages_stays_mended() {
    for (seed, found) in SEEDS_OF_ACTS {
        let report = run(*seed, Options { has_acts: true, ..Options::default() }).unwrap();
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}: {found}");
    }
}
