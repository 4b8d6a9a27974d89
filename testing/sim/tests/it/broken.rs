//! Every invariant is broken on purpose, and found out.

use halcyon_sim::sabotage::Sabotage;
use halcyon_sim::{Options, run};

/// Worlds in which it may take place. One is enough as a rule; where nobody links a device, there is no ghost either.
const WORLDS: u64 = 12;

/// Says that some world finds out what is broken, and calls it by its name.
fn is_caught(sabotage: Sabotage, invariant: &str) {
    is_caught_in(Options { sabotage, ..Options::default() }, invariant);
}

/// Says that some world in which people are away for weeks finds it out.
fn is_caught_in_weeks(sabotage: Sabotage, invariant: &str) {
    is_caught_in(Options { sabotage, has_holiday: true, ..Options::default() }, invariant);
}

fn is_caught_in(options: Options, invariant: &str) {
    let sabotage = options.sabotage;
    for seed in 1..=WORLDS {
        let report = run(seed, options).unwrap();
        if let Some(violation) = report.violations.first() {
            assert!(violation.contains(invariant), "{sabotage:?} is taken for something else: {violation}");
            return;
        }
    }
    panic!("{sabotage:?} is not found out in {WORLDS} worlds");
}

/// I1: a store that calls durable what is not lets sessions be used twice after a power cut.
#[test]
fn i1_a_store_that_reports_before_syncing_is_caught() {
    is_caught(Sabotage::DeviceDisksLie, "I1");
}

/// I2
#[test]
fn i2_a_client_that_acknowledges_before_committing_is_caught() {
    is_caught(Sabotage::EarlyAcknowledgement, "I2");
}

/// I3
#[test]
fn i3_a_message_shown_twice_is_caught() {
    is_caught(Sabotage::MessageShownTwice, "I3");
}

/// I3
#[test]
fn i3_a_message_that_is_called_delivered_and_is_not_is_caught() {
    is_caught(Sabotage::DeliveredTooEarly, "I3");
}

/// I3: what is kept for 30 days is not deleted after two.
#[test]
fn i3_a_mailbox_that_deletes_too_early_is_caught() {
    is_caught_in_weeks(Sabotage::MailboxExpiresEarly, "I3");
}

/// REP-21: a device that went back to an older copy of itself and does not notice seals with keys that it has used before.
#[test]
fn a_key_that_is_used_twice_is_caught() {
    is_caught_in(Options { sabotage: Sabotage::EpochIsHidden, has_repairs: true, ..Options::default() }, "REP-21");
}

/// I3: what does not come and does not open stays so where nobody asks for it.
#[test]
fn i3_a_client_that_does_not_ask_is_caught() {
    is_caught_in(Options { sabotage: Sabotage::NobodyAsks, has_repairs: true, ..Options::default() }, "I3");
}

/// I4
#[test]
fn i4_a_text_in_a_request_is_caught() {
    is_caught(Sabotage::TextLeaks, "I4");
}

/// I6
#[test]
fn i6_a_device_that_nobody_added_is_caught() {
    is_caught(Sabotage::GhostDevice, "I6");
}

/// I7
#[test]
fn i7_a_mailbox_without_end_is_caught() {
    is_caught(Sabotage::EndlessMailbox, "I7");
}

/// I8
#[test]
fn i8_a_list_that_goes_back_is_caught() {
    is_caught(Sabotage::ListGoesBack, "I8");
}

/// I9
#[test]
fn i9_a_handle_in_a_log_line_is_caught() {
    is_caught(Sabotage::HandleIsLogged, "I9");
}

/// I9
#[test]
fn i9_a_push_token_in_a_log_line_is_caught() {
    is_caught(Sabotage::PushTokenIsLogged, "I9");
}

/// I9
#[test]
fn i9_a_session_token_in_a_log_line_is_caught() {
    is_caught(Sabotage::SessionTokenIsLogged, "I9");
}

/// I7
#[test]
fn i7_a_mailbox_that_keeps_what_expired_is_caught() {
    is_caught_in_weeks(Sabotage::MailboxKeepsExpired, "I7");
}

/// I10
#[test]
fn i10_a_server_that_goes_on_after_a_failed_sync_is_caught() {
    is_caught(Sabotage::FailedSyncIsIgnored, "I10");
}

/// I10
#[test]
fn i10_a_server_whose_disk_lies_is_caught() {
    is_caught(Sabotage::ServerDiskLies, "I10");
}

/// I10
#[test]
fn i10_a_mailbox_that_forgets_is_caught() {
    is_caught(Sabotage::MailboxForgets, "I10");
}
