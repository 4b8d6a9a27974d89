//! Reports to the operator. Spec: 20-accounts.md §6 (ACC-61).

use halcyon_directory::report::SignedReport;
use halcyon_types::Timestamp;
use serde::Deserialize;

use super::{Api, Request, accounts::checked_id, read_json};
use crate::{error::ApiError, ports::Method, report::Reported};

impl Request {
    /// ACC-61; to be signed.
    pub(crate) fn report(report: &SignedReport) -> Self {
        Self::protobuf(Method::Post, "/v1/reports".into(), report.encode())
    }
}

impl Api {
    /// ACC-61.
    pub(crate) async fn report(&self, signed: Request) -> Result<Reported, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            report_id: String,
            kept_until_ms: u64,
        }
        let answer: Answer = read_json(&self.call(signed).await?, "a report")?;
        let id = checked_id(answer.report_id, "a report")?;
        Ok(Reported { id, kept_until: Timestamp::from_millis(answer.kept_until_ms) })
    }
}
