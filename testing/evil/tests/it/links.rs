//! A server that lies while a device joins, and a person who guesses at digits (LNK-2 to LNK-10).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use halcyon_client::Fault;
use serde_json::Value;

use crate::world::{Device, World, link_draft, within};

const PASSWORD: &[u8] = b"correct horse battery staple";

/// Changes what a device is told about links.
fn lie(device: &Device, mut how: impl FnMut(&mut Value) + Send + 'static) {
    device.http.tamper(move |request, answer| {
        let mut answer = answer?;
        if request.path.starts_with("/v1/links")
            && answer.status == 200
            && let Ok(mut document) = serde_json::from_slice(&answer.body)
        {
            how(&mut document);
            answer.body = document.to_string().into();
        }
        Ok(answer)
    });
}

fn flip(document: &mut Value, member: &str) {
    if let Some(encoded) = document[member].as_str() {
        let mut bytes = STANDARD.decode(encoded).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        document[member] = STANDARD.encode(bytes).into();
    }
}

/// LNK-9, LNK-10: a new device that gets another list, or another account key, than the trusted one sent ends with an error, and
/// its profile is empty.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_approval_leaves_an_empty_profile() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    for member in ["sealed", "device_list"] {
        let laptop = world.device("alice", "laptop");
        let mut pending = laptop.client.link_start(link_draft(&laptop, PASSWORD)).await.unwrap();
        let mut approval = phone.approve(pending.id()).await;
        let digits = pending.digits().await.unwrap();
        lie(&laptop, move |document| flip(document, member));
        approval.await_ready().await.type_digits(&digits).await.unwrap();
        let error = within("the refusal", pending.finish()).await.unwrap_err();
        assert_eq!(error.fault(), Fault::UntrustedKey, "{member}: {error}");
        assert_eq!(laptop.client.account().unwrap(), None);
    }
}

/// LNK-2, LNK-6: a server that puts its own key in the place of either side's makes digits that are not the same on both, and the
/// trusted device gives nothing away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_between_makes_other_digits() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let devices = phone.client.devices().await.unwrap().len();
    let laptop = world.device("alice", "laptop");
    let key = halcyon_crypto::AgreementKey::generate(&mut rand::rngs::OsRng);
    let theirs = STANDARD.encode(key.compact().as_bytes());
    lie(&laptop, move |document| {
        if document["state"] == "challenged" {
            document["ephemeral"] = theirs.clone().into();
        }
    });
    let mut pending = laptop.client.link_start(link_draft(&laptop, PASSWORD)).await.unwrap();
    let mut approval = phone.approve(pending.id()).await;
    let digits = pending.digits().await.unwrap();
    let mut approval = approval.await_ready().await;
    for _ in 0..3 {
        approval.type_digits(&digits).await.unwrap_err();
    }
    within("the refusal", pending.finish()).await.unwrap_err();
    assert_eq!(laptop.client.account().unwrap(), None);
    assert_eq!(phone.client.devices().await.unwrap().len(), devices);
}

/// LNK-2, LNK-7: whoever types wrong digits twice and starts the trusted device again gets no further tries at them: the link has
/// had its one challenge. The new device has to ask again, with the password, and there are other digits.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_no_more_tries_at_the_digits() {
    let world = World::start().await;
    let mut phone = world.register("alice", "phone").await;
    let laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, PASSWORD)).await.unwrap();
    let link = pending.id();
    let mut approval = phone.approve(link).await;
    let digits = pending.digits().await.unwrap();
    let wrong = if digits == "000000" { "000001" } else { "000000" };
    let mut approval = approval.await_ready().await;
    approval.type_digits(wrong).await.unwrap_err();
    approval.type_digits(wrong).await.unwrap_err();
    drop(approval);
    phone.restart(&world).await;
    phone.online().await;
    let error = phone.client.approve_start(link).await.err().expect("no second challenge");
    assert_eq!(error.fault(), Fault::User, "{error}");
    assert_eq!(phone.client.devices().await.unwrap().len(), 1);
}
