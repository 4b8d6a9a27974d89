//! `counters`: what this device counted of failures and repairs (REP-30).
//!
//! - They are read here and nowhere else: nothing in this program sends them.

use serde::Serialize;

use super::Context;
use crate::args::Format;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::one_line;

/// A comment of the text format that Prometheus reads.
const LOCAL: &str = "# Counted by this device, for whoever asks here. They are never sent anywhere.";

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    /// As `decrypt_failures_total{cause="no-key"}`.
    name: String,
    count: u64,
}

pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = counters(context, &session);
    session.close().await;
    result
}

fn counters(context: &Context, session: &Session) -> Result<(), Failure> {
    let counters = session.client().counters()?;
    if context.output.format() == Format::Text {
        context.output.line(LOCAL)?;
    }
    counters.into_iter().try_for_each(|counter| {
        let line = Line { kind: "counter", name: counter.name, count: counter.count };
        context.output.result(&line, |_| format!("{} {}", one_line(&line.name), line.count))
    })
}
