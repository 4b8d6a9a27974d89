//! `doctor`: looks at everything that commonly goes wrong, and says what to do.

use std::path::Path;
use std::time::Duration;

use halcyon_client::{Check, Finding};
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::native::{self, DeviceSecretPlace};
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
    // Before the profile opens, since this is what people need to know when it does not.
    device_secret(context, &folder)?;
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

/// Says where the device secret is, if there is a profile that has one.
fn device_secret(context: &Context, folder: &Path) -> Result<(), Failure> {
    if !native::has_profile(folder)? {
        return Ok(());
    }
    let (finding, detail) = match native::device_secret_place(folder) {
        Ok(Some(DeviceSecretPlace::Keyring { label })) => (Finding::Good, format!("in the keyring, as \"{label}\"")),
        Ok(Some(DeviceSecretPlace::File)) => {
            let file = folder.join(native::DEVICE_SECRET_FILE);
            (Finding::Good, format!("in the file {}: a copy of the folder has it, too", file.display()))
        }
        Ok(Some(_)) => (Finding::Notable, "where a later version of this program put it".to_owned()),
        Ok(None) => (Finding::Bad, "nowhere to be found".to_owned()),
        Err(failure) => (Finding::Bad, failure.what),
    };
    show(context, "device secret", finding, &detail)
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
