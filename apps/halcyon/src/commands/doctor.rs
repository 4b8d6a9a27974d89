//! `doctor`: looks at everything that commonly goes wrong, and says what to do.

use std::time::Duration;

use halcyon_client::{Check, Finding};
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

/// A courier that answers does so within a second; a person waits for the diagnosis.
const ONLINE_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    check: String,
    /// `good`, `notable` or `bad`.
    finding: &'static str,
    detail: String,
}

pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let folder = crate::session::folder(context)?;
    let session = match Session::open(context).await {
        Ok(session) => session,
        Err(failure) => {
            show(context, "profile", Finding::Bad, &format!("{}: {}", folder.display(), failure.what))?;
            return Err(failure);
        }
    };
    show(context, "profile", Finding::Good, &format!("{} opens", folder.display()))?;
    let progress = context.output.progress("looking");
    // The courier is looked at by using it; one that cannot be reached in time is what the check then says.
    session.client().go_online();
    let patience = context.timeout().min(ONLINE_PATIENCE);
    let _ = tokio::time::timeout(patience, session.client().wait_online()).await;
    let checks = session.client().doctor().await;
    drop(progress);
    let shown = checks.iter().try_for_each(|check| show(context, check.name, check.finding, &check.detail));
    session.close().await;
    shown?;
    verdict(&checks)
}

fn verdict(checks: &[Check]) -> Result<(), Failure> {
    match checks.iter().filter(|check| check.finding == Finding::Bad).count() {
        0 => Ok(()),
        bad => Err(Failure::network(format!("{bad} of {} checks are bad", checks.len()))
            .next("the lines above say what to do")),
    }
}

fn show(context: &Context, check: &str, finding: Finding, detail: &str) -> Result<(), Failure> {
    let (name, style) = match finding {
        Finding::Good => ("good", Style::Good),
        Finding::Notable => ("notable", Style::Strong),
        Finding::Bad => ("bad", Style::Bad),
    };
    let line = Line { kind: "check", check: check.to_owned(), finding: name, detail: detail.to_owned() };
    context
        .output
        .result(&line, |output| format!("{}  {check}: {}", output.styled(style, format!("{name:7}")), one_line(detail)))
}
