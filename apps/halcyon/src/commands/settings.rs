//! `settings`: what goes for all devices of the account, and for one conversation.

use halcyon_client::{Client, Setting};
use halcyon_types::Handle;
use serde::Serialize;

use super::{Context, history};
use crate::args::{Addressee, Settings, SettingsAction};
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;

/// The one that is chosen for people, and has no value for everybody: `halcyon handles default` is that.
const FROM: &str = "from";
/// Takes back what was chosen.
const DEFAULT: &str = "default";

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    /// Null: nothing was chosen.
    value: Option<String>,
    /// What goes where nothing was chosen.
    default: Option<String>,
    /// For whom alone; empty: for everybody.
    with: Vec<String>,
}

pub(super) async fn run(context: &mut Context, options: Settings) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = settings(context, &session, options.action.unwrap_or(SettingsAction::List));
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn settings(context: &Context, session: &Session, action: SettingsAction) -> Result<(), Failure> {
    match action {
        SettingsAction::List => {
            Setting::ALL.into_iter().try_for_each(|setting| show(context, session.client(), setting))
        }
        SettingsAction::Get { name, with } if with.is_empty() => show(context, session.client(), named(&name)?),
        SettingsAction::Get { name, with } => show_with(context, session, &name, &with),
        SettingsAction::Set { name, value, with } if with.is_empty() => {
            let setting = named(&name)?;
            session.client().set_setting(setting, Some(value.as_str()).filter(|value| *value != DEFAULT))?;
            show(context, session.client(), setting)
        }
        SettingsAction::Set { name, value, with } => {
            set_with(session, &name, &value, &with)?;
            show_with(context, session, &name, &with)
        }
    }
}

fn named(name: &str) -> Result<Setting, Failure> {
    Setting::named(name).ok_or_else(|| {
        let names: Vec<&str> = Setting::ALL.into_iter().map(Setting::name).collect();
        Failure::user("there is no such setting for everybody").next(format!("there are {}", names.join(", ")))
    })
}

fn only_two() -> Failure {
    Failure::user("this is not chosen for a conversation")
        .next("read-receipts and from are; leave --with out for the others")
}

fn set_with(session: &Session, name: &str, value: &str, with: &[Addressee]) -> Result<(), Failure> {
    let client = session.client();
    match (name, value) {
        (FROM, DEFAULT) => Ok(client.set_sends_from(&people(with)?, None)?),
        (FROM, own) => {
            let own = own.parse::<Handle>().map_err(|error| Failure::user(error.to_string()))?;
            Ok(client.set_sends_from(&people(with)?, Some(&own))?)
        }
        ("read-receipts", "on" | "off" | DEFAULT) => {
            let on = (value != DEFAULT).then_some(value == "on");
            let ids = history::conversation_with(session, with)?.ids;
            ids.into_iter().try_for_each(|id| Ok(client.set_read_receipts_in(id, on)?))
        }
        ("read-receipts", _) => Err(Failure::user("read-receipts takes on, off or default")),
        _ => Err(only_two()),
    }
}

/// OWN-7: in a group somebody is by one handle, which is not chosen for it.
fn people(with: &[Addressee]) -> Result<Vec<Handle>, Failure> {
    let person = |one: &Addressee| match one {
        Addressee::Person(handle) => Ok(handle.clone()),
        Addressee::Group(_) => Err(Failure::user("a group is written to from the address that is in it")
            .next("leave it, and have yourself added by another address")),
    };
    with.iter().map(person).collect()
}

fn show(context: &Context, client: &Client, setting: Setting) -> Result<(), Failure> {
    let value = Some(client.setting(setting)?.to_owned());
    let default = Some(setting.values()[0].to_owned());
    print(context, Line { kind: "setting", name: setting.name(), value, default, with: Vec::new() })
}

fn show_with(context: &Context, session: &Session, name: &str, with: &[Addressee]) -> Result<(), Failure> {
    let client = session.client();
    let (name, value, default) = match name {
        FROM => {
            let default = session.account()?.handles.into_iter().next();
            (FROM, client.sends_from(&people(with)?)?.map(|own| own.to_string()), default.map(|own| own.to_string()))
        }
        "read-receipts" => {
            let id = history::conversation_with(session, with)?.ids[0];
            let (is_on, is_chosen) = client.read_receipts_in(id)?;
            let value = is_chosen.then(|| if is_on { "on" } else { "off" }.to_owned());
            ("read-receipts", value, Some(client.setting(Setting::ReadReceipts)?.to_owned()))
        }
        _ => return Err(only_two()),
    };
    let with = with.iter().map(ToString::to_string).collect();
    print(context, Line { kind: "setting", name, value, default, with })
}

fn print(context: &Context, line: Line) -> Result<(), Failure> {
    context.output.result(&line, |output| {
        let default = line.default.as_deref().unwrap_or("nothing");
        let (value, is_default) = match &line.value {
            Some(value) => (value.as_str(), Some(value) == line.default.as_ref()),
            None => (default, true),
        };
        let note = if is_default { "  (the default)" } else { "" };
        format!("{}  {value}{note}", output.styled(Style::Strong, line.name))
    })
}
