//! `/livez`, `/readyz`, `/metrics`, on a listener for the operator alone.
//!
//! - No counter has a handle, an id or an address as a label (I9).

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use halcyon_server::ports::{DirectoryStore, SnapshotOf};
use halcyon_server_store::MailboxStore;
use halcyon_server_store::directory::DirectoryDb;
use halcyon_types::AccountId;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::stop::Stop;

/// What the private listener answers from.
#[derive(Clone)]
pub struct Private {
    /// Asked whether it can be read.
    pub store: Arc<DirectoryStore>,
    /// Asked whether it still writes.
    pub directory: DirectoryDb,
    /// Asked the same.
    pub mailboxes: Arc<MailboxStore>,
    /// Whether the server ends.
    pub stop: Stop,
    /// Renders the counters.
    pub metrics: PrometheusHandle,
}

/// Returns the router of the private listener.
pub fn router(private: Private) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(private)
}

/// Returns the recorder of this process, installed at the first call: there is one for all servers in a process.
pub fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // An application that installed a recorder of its own keeps it; /metrics is empty then.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics is installed; /metrics stays empty");
        }
        handle
    };
    RECORDER.get_or_init(install).clone()
}

async fn ready(State(private): State<Private>) -> (StatusCode, &'static str) {
    if private.stop.is_requested() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if private.mailboxes.is_stopped() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the mailboxes stopped after a failed sync; restart on a good disk\n",
        );
    }
    if private.directory.is_stopped() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the directory stopped after a failed sync; restart on a good disk\n",
        );
    }
    // Any read will do: of an account that cannot exist.
    match private.store.lists.snapshot(SnapshotOf::Account(AccountId::from_bytes([0; 16]))).await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the directory cannot be read\n"),
    }
}

async fn metrics(State(private): State<Private>) -> Response {
    private.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], private.metrics.render()).into_response()
}
