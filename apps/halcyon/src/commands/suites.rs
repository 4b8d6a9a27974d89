//! `suites`: which suites this device uses, and switching them on and off (SUI-9).

use halcyon_client::{Client, Suite, SuiteUse};
use serde::Serialize;

use super::Context;
use crate::args::{LegacySuite, Suites, SuitesAction};
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    suite: String,
    on: bool,
    legacy: bool,
}

pub(super) async fn run(context: &mut Context, options: Suites) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let client = session.client();
    let result = match options.action.unwrap_or(SuitesAction::List) {
        SuitesAction::List => Ok(()),
        SuitesAction::On { suite } => switch(client, suite, SuiteUse::On).await,
        SuitesAction::Off { suite } => switch(client, suite, SuiteUse::Off).await,
    };
    let result =
        result.and_then(|()| client.suites().into_iter().try_for_each(|(suite, usage)| show(context, suite, usage)));
    session.close().await;
    result
}

async fn switch(client: &Client, suite: LegacySuite, usage: SuiteUse) -> Result<(), Failure> {
    let suite = match suite {
        LegacySuite::Pair => Suite::Pair,
        LegacySuite::PairEc => Suite::PairEc,
    };
    Ok(client.switch_suite(suite, usage).await?)
}

fn show(context: &Context, suite: Suite, usage: SuiteUse) -> Result<(), Failure> {
    let line = Line { kind: "suite", suite: suite.to_string(), on: usage == SuiteUse::On, legacy: suite.is_legacy() };
    context.output.result(&line, |output| {
        let name = output.styled(Style::Strong, &line.suite);
        let legacy = if line.legacy { "  (legacy: for devices that speak nothing else)" } else { "" };
        format!("{name}  {}{legacy}", if line.on { "on" } else { "off" })
    })
}
