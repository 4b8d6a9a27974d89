//! `sessions`: the state of the session with every device, and beginning sessions anew (REP-16, REP-31).

use halcyon_client::{SessionHealth, SessionShown};
use halcyon_types::{Handle, Timestamp};
use serde::Serialize;

use super::Context;
use crate::args::{Sessions, SessionsAction};
use crate::failure::Failure;
use crate::line::{short_id, time_words};
use crate::output::{Output, Style};
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    device: String,
    device_name: Option<String>,
    handle: Option<String>,
    /// `good`, `repairing` or `stuck`.
    state: &'static str,
    /// `pq3` sessions that are kept; 0 if the device speaks an older suite only, or nothing was said yet.
    pq3_sessions: usize,
    /// When something was last sealed or opened in the newest.
    last_used_ms: Option<u64>,
    /// Whether this device began it, and that one has not answered yet.
    waits_for_answer: bool,
    /// Whether the next message begins a new one.
    begins_anew: bool,
    /// Keys that are kept for messages that were passed over.
    skipped_keys: usize,
    repairing: Option<Repairing>,
    /// If it is stuck: why, and what to do.
    advice: Option<String>,
}

#[derive(Serialize)]
struct Repairing {
    since_ms: u64,
    unopened: usize,
    missing: u64,
    asked: u32,
    next_ms: u64,
}

#[derive(Serialize)]
struct Done {
    #[serde(rename = "type")]
    kind: &'static str,
    sessions: usize,
}

pub(super) async fn run(context: &mut Context, options: Sessions) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = match options.action {
        None => list(context, &session, options.handle.as_ref()),
        Some(SessionsAction::Reset { handle, yes }) => reset(context, &session, handle.as_ref(), yes).await,
        Some(SessionsAction::Lose { yes }) => lose(context, &session, yes).await,
    };
    session.close().await;
    result
}

fn list(context: &Context, session: &Session, with: Option<&Handle>) -> Result<(), Failure> {
    let sessions = of(session, with)?;
    if sessions.is_empty() {
        context.output.note("There is no session yet: the first message to a device begins one.");
    }
    sessions.iter().map(line).try_for_each(|line| context.output.result(&line, |output| words(&line, output)))
}

async fn reset(context: &mut Context, session: &Session, with: Option<&Handle>, yes: bool) -> Result<(), Failure> {
    let count = of(session, with)?.len();
    sure(context, yes, &format!("begin {} anew? yes or no", sessions(count))).await?;
    let done = Done { kind: "sessions-reset", sessions: session.client().reset_sessions(with)? };
    context.output.result(&done, |output| {
        let what = format!("{} will begin anew with the next message", sessions(done.sessions));
        output.styled(Style::Good, what)
    })
}

async fn lose(context: &mut Context, session: &Session, yes: bool) -> Result<(), Failure> {
    sure(context, yes, "delete every session, as a damaged disk would? yes or no").await?;
    let done = Done { kind: "sessions-lost", sessions: session.client().dangerous_lose_sessions()? };
    context.output.result(&done, |output| output.styled(Style::Strong, format!("{} deleted", sessions(done.sessions))))
}

/// Nothing is done that a person did not mean.
pub(super) async fn sure(context: &mut Context, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match context.input.line(Some(question)).await?.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::user("nothing was done").next("answer yes, or say --yes")),
    }
}

fn of(session: &Session, with: Option<&Handle>) -> Result<Vec<SessionShown>, Failure> {
    Ok(match with {
        Some(handle) => session.client().sessions_with(handle)?,
        None => session.client().sessions()?,
    })
}

fn line(session: &SessionShown) -> Line {
    let summary = &session.summary;
    Line {
        kind: "session",
        device: session.device.to_hex(),
        device_name: session.name.as_ref().map(|(_, name)| name.clone()),
        handle: session.name.as_ref().map(|(handle, _)| handle.to_string()),
        state: match session.health() {
            SessionHealth::Good => "good",
            SessionHealth::Repairing => "repairing",
            SessionHealth::Stuck => "stuck",
        },
        pq3_sessions: summary.pq3_sessions,
        last_used_ms: summary.last_used.map(Timestamp::as_millis),
        waits_for_answer: summary.unanswered,
        begins_anew: summary.restarts_next,
        skipped_keys: summary.skipped_keys,
        repairing: session.repair.as_ref().map(|repair| Repairing {
            since_ms: repair.since.as_millis(),
            unopened: repair.unopened,
            missing: repair.missing,
            asked: repair.asked,
            next_ms: repair.next.as_millis(),
        }),
        advice: session.advice(),
    }
}

fn words(line: &Line, output: &Output) -> String {
    let who = match (&line.handle, &line.device_name) {
        (Some(handle), Some(name)) => crate::line::whose(handle, Some(name), &line.device),
        _ => "a device of nobody known".to_owned(),
    };
    let (state, style) = match line.state {
        "good" => ("good", Style::Good),
        "stuck" => ("stuck", Style::Bad),
        state => (state, Style::Strong),
    };
    let used = line.last_used_ms.map_or("not used yet".to_owned(), |ms| format!("last used {}", time_words(ms)));
    let mut facts = vec![used];
    if line.waits_for_answer {
        facts.push("waits for an answer".to_owned());
    }
    if line.begins_anew {
        facts.push("begins anew with the next message".to_owned());
    }
    if let Some(repair) = &line.repairing {
        let (unopened, missing, asked) = (repair.unopened, repair.missing, repair.asked);
        facts.push(format!(
            "being repaired since {}: {unopened} not opened, {missing} missing, asked {asked} times",
            time_words(repair.since_ms)
        ));
    }
    let mut text = format!(
        "{}  {}  {}  {}",
        output.styled(style, format!("{state:9}")),
        short_id(&line.device),
        who,
        facts.join(", ")
    );
    if let Some(advice) = &line.advice {
        text = format!("{text}\n    {}", one_line(advice));
    }
    text
}

fn sessions(count: usize) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}
