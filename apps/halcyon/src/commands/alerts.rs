//! `alerts`: what the server and this client want the person to see (DIR-40).
//!
//! - An alert counts as seen once it was printed.

use super::Context;
use crate::args::Alerts;
use crate::failure::Failure;
use crate::line::Line;
use crate::session::Session;

pub(super) async fn run(context: &mut Context, options: &Alerts) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = alerts(context, &session, options);
    session.close().await;
    result
}

fn alerts(context: &Context, session: &Session, options: &Alerts) -> Result<(), Failure> {
    let client = session.client();
    let all = client.alerts()?;
    let shown: Vec<_> = all.into_iter().filter(|alert| options.all || !alert.seen).collect();
    if shown.is_empty() {
        context.output.note("Nothing new. What waits at the server comes with `halcyon listen`.");
    }
    for alert in shown {
        let line = Line::Alert((&alert).into());
        context.output.result(&line, |output| line.words(output))?;
        if !alert.seen {
            client.mark_alert_seen(alert.id)?;
        }
    }
    Ok(())
}
