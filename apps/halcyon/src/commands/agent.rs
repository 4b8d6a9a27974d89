//! `agent`, `unlock` and `lock`: the process that keeps a profile open, and what is said to it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use directories::BaseDirs;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::Context;
use crate::agent::endpoint::{self, Endpoint};
use crate::agent::front::Agent;
use crate::agent::http::Http;
use crate::agent::schema;
use crate::agent::service::{Manner, Service};
use crate::args;
use crate::args::AgentAction;
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::native::{self, Opener};
use crate::output::Style;
use crate::prompt::{SecretSource, SecretUse};
use crate::session;
use crate::stop::signals;

pub(super) async fn run(context: &mut Context, options: &args::Agent) -> Result<(), Failure> {
    match options.action.unwrap_or(AgentAction::Run) {
        AgentAction::Run => serve(context, options).await,
        AgentAction::Status => ask(context, "agent.status", json!({})).await,
        AgentAction::Stop => ask(context, "agent.stop", json!({})).await,
        AgentAction::Install => install(context),
        AgentAction::Schema => {
            let document = schema::document();
            context.output.line(
                &serde_json::to_string_pretty(&document)
                    .map_err(|error| Failure::unexpected(format!("the description cannot be encoded: {error}")))?,
            )
        }
    }
}

/// Gives the agent the passphrase.
///
/// KEY-9: or what the keyring has, or lets the keyring have it.
pub(super) async fn unlock(context: &mut Context, options: &args::Unlock) -> Result<(), Failure> {
    let folder = session::folder(context)?;
    if options.ask_again {
        session::on_a_thread(move || native::remember(&folder, None)).await?;
        return context.output.result(&json!({"type": "remembered", "remembered": false}), |_| {
            "From now on the passphrase is asked for again.".to_owned()
        });
    }
    let mut agent = running(context).await?;
    if options.remember {
        let passphrase = session::passphrase(context, SecretUse::Known).await?;
        let given = agent.unlock_with(context, &passphrase).await?;
        session::on_a_thread(move || native::remember(&folder, Some(&passphrase))).await?;
        context.output.note("The keyring opens this profile from now on; `halcyon unlock --ask-again` ends that.");
        return show(context, &given);
    }
    if session::passphrase_source(context) == SecretSource::Ask && native::is_remembered(&folder) {
        match agent.ask("agent.unlock", json!({"keyring": true})).await {
            Ok(status) => return show(context, &status),
            // The person can still type it.
            Err(failure) => context.output.note(failure.to_string()),
        }
    }
    let status = agent.unlock(context).await?;
    show(context, &status)
}

/// Has the agent do nothing more for anybody.
pub(super) async fn lock(context: &mut Context, options: &args::Lock) -> Result<(), Failure> {
    ask(context, "agent.lock", json!({ "forget": options.forget })).await
}

async fn ask(context: &Context, method: &str, params: Value) -> Result<(), Failure> {
    let status = running(context).await?.ask(method, params).await?;
    if method == "agent.stop" {
        endpoint::ended(&session::folder(context)?).await?;
        return context.output.result(&json!({"type": "agent", "state": "stopped"}), |_| "The agent ended.".to_owned());
    }
    show(context, &status)
}

async fn running(context: &Context) -> Result<Agent, Failure> {
    Agent::find(context).await?.ok_or_else(|| {
        Failure::user("no agent runs for this profile")
            .next("start one with `halcyon agent`, or at every login with `halcyon agent install`")
    })
}

fn show(context: &Context, status: &Value) -> Result<(), Failure> {
    context.output.result(status, |output| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pid = &status["pid"];
        let connection = match status["connection"]["cause"].as_str() {
            Some(cause) => format!("{}: {}", text(&status["connection"]["state"]), crate::text::one_line(cause)),
            None if status["connection"].is_null() => "none before it is unlocked".to_owned(),
            None => text(&status["connection"]["state"]),
        };
        let waiting = match status["waiting"].as_u64().unwrap_or_default() {
            0 => String::new(),
            1 => "; 1 sealed message waits".to_owned(),
            more => format!("; {more} sealed messages wait"),
        };
        if status["state"] == "locked" {
            let locked = output.styled(Style::Strong, "The agent is locked: run `halcyon unlock`");
            return format!("{locked} (process {pid}); connection: {connection}{waiting}");
        }
        let open = output.styled(Style::Good, "The agent has the profile open");
        format!("{open} (process {pid}); connection: {connection}; {} waiting to leave{waiting}", status["outbox"])
    })
}

/// Becomes the agent, until it is told to end.
async fn serve(context: &mut Context, options: &args::Agent) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: &'static str,
        state: &'static str,
        socket: String,
        /// Where it serves HTTP, if it does.
        http: Option<String>,
    }
    let folder = session::folder(context)?;
    if !native::has_profile(&folder)? {
        return Err(halcyon_client_store::ProfileError::Missing.into());
    }
    let memory_locked = keep_memory_private();
    if options.detached {
        // Whoever started it may be gone before it listens, and its terminal with it.
        let _ = rustix::process::setsid();
    }
    let endpoint = Endpoint::claim(&folder)?;
    let stop = signals();
    let http = match options.http {
        Some(port) => Some(Arc::new(Http::bind(port, &folder).await?)),
        None => None,
    };
    let keeper = Arc::new(Keeper::new(folder));
    if session::passphrase_source(context) != SecretSource::Ask {
        let passphrase = session::passphrase(context, SecretUse::Known).await?;
        keeper.unlock(Opener::Passphrase(passphrase)).await?;
    } else if !by_keyring(context, &keeper).await {
        keeper.begin().await;
    }
    let state = if keeper.open_session().is_some() { "open" } else { "locked" };
    let address = http.as_ref().map(|http| http.address()).transpose()?;
    let line = Line {
        kind: "agent",
        state,
        socket: endpoint.socket().display().to_string(),
        http: address.map(|address| format!("http://{address}")),
    };
    let lock_after = options.lock_after.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    let service = Service::new(keeper, Handle::current(), Manner { lock_after, memory_locked });
    context.output.result(&line, |_| match state {
        "open" => "The agent has the profile open. Ctrl-C ends it.".to_owned(),
        _ => "The agent is locked: run `halcyon unlock` in another terminal. Ctrl-C ends it.".to_owned(),
    })?;
    let over_http = async {
        match &http {
            Some(http) => http.serve(Arc::clone(&service)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = service.serve(&endpoint, stop) => {}
        () = over_http => {}
    }
    Ok(())
}

/// Unlocks by the keyring, where the person chose that (KEY-9). Says whether it did.
async fn by_keyring(context: &Context, keeper: &Keeper) -> bool {
    keeper.unlock_by_keyring().await.unwrap_or_else(|failure| {
        // It is unlocked like any other, then.
        context.output.note(failure.to_string());
        false
    })
}

/// Keys must not end in a core file or on a swap disk, nor be read by another process of the same user. Says whether they cannot be swapped.
fn keep_memory_private() -> bool {
    // What the system does not grant is no reason not to run: file permissions hold all the same.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        lock_memory()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Keeps all of this process's memory off swap disks, where the system sets no bound to that: with one, memory would run out at it.
#[cfg(target_os = "linux")]
fn lock_memory() -> bool {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::getrlimit;
    let limit = getrlimit(Resource::Memlock);
    if limit.maximum.is_some() {
        return false;
    }
    let unlimited = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    unlimited.and_then(|()| mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)).is_ok()
}

/// Writes a service of systemd for this profile.
fn install(context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: &'static str,
        unit: String,
        file: String,
    }
    let folder = session::folder(context)?;
    if !native::has_profile(&folder)? {
        return Err(halcyon_client_store::ProfileError::Missing.into());
    }
    let folder = folder.canonicalize().map_err(|error| Failure::network(format!("{}: {error}", folder.display())))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::network(format!("the system does not say where this program is: {error}")))?;
    let name = format!("halcyon-agent-{}.service", context.global.profile.as_str());
    let file = units_folder()?.join(&name);
    let written = fs::create_dir_all(file.parent().unwrap_or(&file))
        .and_then(|()| fs::write(&file, unit(&quoted(&program)?, &quoted(&folder)?)));
    written
        .map_err(|error| Failure::network(format!("the service file {} cannot be written: {error}", file.display())))?;
    let line = Line { kind: "installed", unit: name.clone(), file: file.display().to_string() };
    context.output.result(&line, |_| {
        format!(
            "Wrote {}. It starts now and at every login with\n  systemctl --user enable --now {name}\nand is locked until `halcyon unlock`.",
            file.display()
        )
    })
}

fn units_folder() -> Result<PathBuf, Failure> {
    let dirs = BaseDirs::new().ok_or_else(|| Failure::user("$HOME does not say where service files belong"))?;
    Ok(dirs.config_dir().join("systemd").join("user"))
}

/// Quotes a path for a service file, where `%`, `$`, `"` and `\` mean something.
fn quoted(path: &std::path::Path) -> std::io::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, "a path in it is not UTF-8, or has control characters")
    })?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}

fn unit(program: &str, folder: &str) -> String {
    format!(
        "[Unit]
Description=Halcyon agent
Documentation=man:halcyon-agent(1)
After=network-online.target

[Service]
ExecStart={program} --profile-folder {folder} agent
Restart=on-failure
RestartSec=1
# Nothing but the profile and the socket is written.
ProtectSystem=strict
ReadWritePaths={folder} %t
PrivateTmp=yes
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
LimitCORE=0
LimitMEMLOCK=infinity
UMask=0077

[Install]
WantedBy=default.target
"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_service_file_is_as_promised() {
        insta::assert_snapshot!(unit("\"/usr/bin/halcyon\"", "\"/srv/alice/.local/share/halcyon/profiles/default\""));
    }

    #[test]
    fn paths_in_a_service_file_mean_themselves() {
        assert_eq!(quoted(Path::new(r#"/a b/50%/$x/"y""#)).unwrap(), r#""/a b/50%%/$$x/\"y\"""#);
        assert!(quoted(Path::new("/a\nExecStartPost=/bin/evil")).is_err());
    }
}
