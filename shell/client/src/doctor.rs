//! Looks at everything that commonly goes wrong, and says what to do.
//!
//! Owns the list of checks. Changes nothing but what a lookup of the own account changes.

use std::collections::BTreeMap;

use halcyon_types::{Duration, Timestamp};

use crate::{
    client::{Client, Inner},
    error::{DevicesError, ProfileError},
    event::ConnectionState,
    ports::store::Heard,
    repair::{ASK_AGE_MAX, SessionHealth, SessionShown, gaps},
};

/// One thing that [`Client::doctor`] looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How it is.
    pub finding: Finding,
    /// What was found and, unless it is good, what to do.
    pub detail: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good,
    /// Worth knowing.
    Notable,
    /// To be repaired.
    Bad,
}

/// A prekey is replaced after 7 days; one that is much older was not, and after 31 nobody seals to it (PEC-5).
const PREKEY_AGE_NOTABLE: Duration = Duration::from_days(9);
/// Clocks may be 5 minutes off (ACC-2); beyond half of it a warning comes in time.
const CLOCK_OFF_NOTABLE_MS: u64 = 150_000;
/// What is sent within an hour is ordinary.
const OUTBOX_AGE_NOTABLE: Duration = Duration::from_mins(60);

/// A phone is often off for a night.
const UNCONFIRMED_NOTABLE: Duration = Duration::from_days(1);

impl Client {
    /// Looks at everything that commonly goes wrong.
    pub async fn doctor(&self) -> Vec<Check> {
        let inner = &*self.inner;
        let mut checks = vec![inner.check_profile()];
        if checks[0].finding == Finding::Bad {
            return checks;
        }
        checks.push(inner.check_server().await);
        checks.push(inner.check_clock());
        checks.push(inner.check_connection());
        let checks_of_the_store = [
            inner.check_prekeys(),
            inner.check_outbox(),
            inner.check_sessions(),
            inner.check_gaps(),
            inner.check_deliveries(),
            inner.check_unopened(),
            inner.check_alerts(),
        ];
        for check in checks_of_the_store {
            checks.push(check.unwrap_or_else(|error| Check::new("profile", Finding::Bad, error.to_string())));
        }
        checks
    }
}

impl Check {
    fn new(name: &'static str, finding: Finding, detail: impl Into<String>) -> Self {
        Self { name, finding, detail: detail.into() }
    }

    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Finding::Good, detail)
    }
}

impl Inner {
    fn check_profile(&self) -> Check {
        match self.state().own() {
            Ok(own) => Check::good("profile", format!("account {}, device {}", own.account, own.device)),
            Err(error) => Check::new("profile", Finding::Bad, error.to_string()),
        }
    }

    /// Server, certificate, device and list in one question.
    async fn check_server(&self) -> Check {
        match self.current_list().await {
            Ok((list, device)) if list.device(device).is_some() => {
                let count = list.devices().len();
                Check::good("server", format!("reachable; device list {} has {count} devices", list.version()))
            }
            Ok(_) => Check::new("server", Finding::Bad, "this device is not in its account's list; link it again"),
            Err(DevicesError::Refused(refusal)) => Check::new("server", Finding::Bad, refusal.to_string()),
            Err(error) => Check::new("server", Finding::Bad, error.to_string()),
        }
    }

    fn check_clock(&self) -> Check {
        let off = self.server_ahead_ms().unsigned_abs();
        if off < CLOCK_OFF_NOTABLE_MS {
            return Check::good("clock", "agrees with the server's, as far as it matters");
        }
        let off = Duration::from_millis(off);
        Check::new("clock", Finding::Bad, format!("{off} off by the server's clock; set this device's clock"))
    }

    fn check_connection(&self) -> Check {
        match &*self.connection_state.borrow() {
            ConnectionState::Online { .. } => Check::good("courier", "online"),
            ConnectionState::Offline => Check::good("courier", "offline, since nobody asked to be online"),
            ConnectionState::Connecting => Check::new("courier", Finding::Notable, "connecting"),
            ConnectionState::Waiting { cause, .. } => Check::new("courier", Finding::Notable, cause.clone()),
            ConnectionState::Refused { cause } => Check::new("courier", Finding::Bad, cause.clone()),
        }
    }

    fn check_prekeys(&self) -> Result<Check, ProfileError> {
        let state = self.state();
        let own = state.own()?;
        let age = self.now().since(own.keys.prekeys_made());
        Ok(match (own.prekeys_uploaded, age > PREKEY_AGE_NOTABLE) {
            (true, false) => Check::good("prekeys", format!("{age} old, with the server")),
            (false, _) => Check::new("prekeys", Finding::Notable, "not uploaded yet; go online"),
            (true, true) => Check::new("prekeys", Finding::Notable, format!("{age} old; go online to replace them")),
        })
    }

    fn check_outbox(&self) -> Result<Check, ProfileError> {
        let jobs = self.state().store().outbox_jobs()?;
        let age = |since: Timestamp| self.now().since(since);
        Ok(match jobs.iter().map(|job| age(job.created)).max() {
            None => Check::good("outbox", "empty"),
            Some(oldest) if oldest < OUTBOX_AGE_NOTABLE => Check::good("outbox", format!("{} waiting", jobs.len())),
            Some(oldest) => {
                let detail = format!("{} waiting, the oldest for {oldest}; see the courier and the alerts", jobs.len());
                Check::new("outbox", Finding::Notable, detail)
            }
        })
    }

    /// Without handles and names, since people send what a doctor says to those who help them.
    fn check_sessions(&self) -> Result<Check, ProfileError> {
        let sessions = self.sessions(None)?;
        let count = |health| sessions.iter().filter(|session| session.health() == health).count();
        let (all, repairing, stuck) = (sessions.len(), count(SessionHealth::Repairing), count(SessionHealth::Stuck));
        if repairing == 0 && stuck == 0 {
            return Ok(Check::good("sessions", format!("{all}, each as it should be")));
        }
        let mut details = Vec::new();
        if repairing > 0 {
            details.push(format!(
                "{repairing} of {all} being repaired, which ends by itself; stay online (`halcyon listen`)"
            ));
        }
        if stuck > 0 {
            let mut advice: Vec<String> = sessions.iter().filter_map(SessionShown::advice).collect();
            advice.sort_unstable();
            advice.dedup();
            details.push(format!("{stuck} of {all} stuck: {}", advice.join("; ")));
        }
        details.push("`halcyon sessions` names them".to_owned());
        Ok(Check::new("sessions", Finding::Notable, details.join("; ")))
    }

    fn check_gaps(&self) -> Result<Check, ProfileError> {
        let gaps = self.state().store().repairs().gaps()?;
        let sum = |count: fn(&Heard) -> u64| gaps.iter().map(count).fold(0_u64, u64::saturating_add);
        let (missing, lost) = (sum(|heard| gaps::count(&heard.missing)), sum(|heard| gaps::count(&heard.lost)));
        if missing == 0 && lost == 0 {
            return Ok(Check::good("gaps", "no message is missing"));
        }
        let mut details = Vec::new();
        if missing > 0 {
            details.push(format!("messages missing and asked for: {missing}; stay online (`halcyon listen`)"));
        }
        if lost > 0 {
            details.push(format!("messages that cannot be recovered: {lost}; ask their senders to say it again"));
        }
        details.push("`halcyon history HANDLE` shows where".to_owned());
        Ok(Check::new("gaps", Finding::Notable, details.join("; ")))
    }

    /// A server that drops what it accepted is seen here at the sender's end, and by the gap at the receiver's (REP-13).
    fn check_deliveries(&self) -> Result<Check, ProfileError> {
        let now = self.now();
        let state = self.state();
        let queries = state.store().repairs();
        let (mut devices, mut oldest) = (0, now);
        for record in queries.repairs()? {
            let since = queries.oldest_unconfirmed(record.device, now.minus(ASK_AGE_MAX))?;
            if let Some(since) = since.filter(|since| now.since(*since) > UNCONFIRMED_NOTABLE) {
                devices += 1;
                oldest = oldest.min(since);
            }
        }
        if devices == 0 {
            return Ok(Check::good("deliveries", "every device confirmed what it was sent, or still has time to"));
        }
        let age = now.since(oldest);
        let detail = format!(
            "{devices} devices did not confirm what the server accepted for them up to {age} ago: they are away, or the server \
             lost it; they are told of it again, and what they miss is sent again"
        );
        Ok(Check::new("deliveries", Finding::Notable, detail))
    }

    fn check_unopened(&self) -> Result<Check, ProfileError> {
        let unopened = self.state().store().unopened()?;
        if unopened.is_empty() {
            return Ok(Check::good("unopened", "every message opened"));
        }
        let mut causes: BTreeMap<(&str, bool), usize> = BTreeMap::new();
        for record in &unopened {
            *causes.entry((record.cause.as_str(), record.gone)).or_default() += 1;
        }
        let details: Vec<String> = causes
            .iter()
            .map(|((cause, gone), count)| format!("{count} {cause}: {}", unopened_advice(cause, *gone)))
            .collect();
        Ok(Check::new("unopened", Finding::Notable, details.join("; ")))
    }

    fn check_alerts(&self) -> Result<Check, ProfileError> {
        let unseen = self.state().store().alerts()?.iter().filter(|alert| !alert.seen).count();
        Ok(match unseen {
            0 => Check::good("alerts", "none to be seen"),
            unseen => Check::new("alerts", Finding::Notable, format!("{unseen} to be seen: halcyon alerts")),
        })
    }
}

/// What to do about messages that did not open, by the cause that they are counted under (RCV-3).
fn unopened_advice(cause: &str, gone: bool) -> &'static str {
    match (cause, gone) {
        (_, true) => "the sender's device no longer has them; ask the sender to say it again",
        ("no-key", _) => "their key is not here, so they are asked for again; stay online",
        ("unknown-sender", _) => "the directory does not know the sender; tried again every hour",
        ("unknown-device", _) => "the sender's device is in no list of the sender's yet; tried again every hour",
        ("refused-sender", _) => {
            "what the directory says of the sender was refused; see `halcyon alerts`, and `halcyon lookup --accept HANDLE` \
             if the sender tells you over another way that it is right; they then open by themselves"
        }
        ("unauthentic", _) => {
            "they are not from whom they claim to be from, or were changed on the way, and nobody answers them; if it \
             goes on, tell whoever runs the server"
        }
        ("forked", _) => "somebody copied the sender's device; see `halcyon alerts`",
        ("suite-not-spoken", _) => {
            "they are in a suite that is switched off; `halcyon suites on SUITE` and ask the sender to send again, or leave \
             it off"
        }
        ("malformed" | "content", _) => "this version cannot read them; install the newest, and ask the sender to",
        _ => "another version of this program kept them, and knows why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RCV-3: every cause that is counted has its advice.
    #[test]
    fn every_cause_says_what_to_do() {
        let causes = [
            "malformed",
            "unknown-sender",
            "refused-sender",
            "unknown-device",
            "unauthentic",
            "no-key",
            "forked",
            "suite-not-spoken",
            "content",
        ];
        for cause in causes {
            assert!(!unopened_advice(cause, false).starts_with("another version"), "{cause}");
        }
        assert!(unopened_advice("no-key", true).contains("say it again"));
    }
}
