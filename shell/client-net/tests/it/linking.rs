//! A second device: password, six digits, and everything that can go wrong with them.

use halcyon_client::{
    Fault, Notice,
    error::{ApproveError, LinkError},
};
use halcyon_directory::alert::AlertEvent;

use crate::world::{World, event, link_draft, until, within};

/// LNK-1 to LNK-10, DIR-40: the digits link a device, and every device hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn six_digits_link_a_device() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let laptop = world.link(&phone, "laptop").await;
    let names: Vec<_> =
        phone.client.devices().await.unwrap().into_iter().map(|device| (device.name, device.this)).collect();
    assert!(names.contains(&("phone".to_owned(), true)) && names.contains(&("laptop".to_owned(), false)), "{names:?}");
    assert_eq!(laptop.client.account().unwrap().unwrap().account, phone.client.account().unwrap().unwrap().account);

    let heard =
        |notice: &Notice| matches!(notice, Notice::Server(AlertEvent::DeviceAdded(added)) if added.name == "laptop");
    until("the alert", || phone.client.alerts().unwrap().iter().any(|alert| heard(&alert.notice))).await;
    let alert = phone.client.alerts().unwrap().pop().unwrap();
    phone.client.mark_alert_seen(alert.id).unwrap();
    assert!(phone.client.alerts().unwrap().iter().all(|kept| kept.seen || kept.id != alert.id));
}

/// LNK-11: the new device's process ends when it has shown the digits, and again when it was approved. It goes on each time: the same
/// digits, and the account. Nothing of the link is kept then.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_interrupted_goes_on() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let mut laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, b"correct horse battery staple")).await.unwrap();
    let mut approval = phone.approve(pending.id()).await;
    let digits = pending.digits().await.unwrap();
    drop(pending);
    laptop.restart(&world).await;
    assert_eq!(laptop.client.account().unwrap(), None);
    let mut again = laptop.client.link_again().unwrap().unwrap();
    assert_eq!(again.digits().await.unwrap(), digits);
    drop(again);
    approval.await_ready().await.type_digits(&digits).await.unwrap();
    laptop.restart(&world).await;
    let again = laptop.client.link_again().unwrap().unwrap();
    within("the account", again.finish()).await.unwrap();
    assert!(laptop.client.link_again().unwrap().is_none());
    laptop.online().await;
    assert_eq!(laptop.client.devices().await.unwrap().len(), 2);
}

/// LNK-10, LNK-11: one that was rejected while nobody was there leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_rejected_in_the_meantime_leaves_nothing() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let mut laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, b"correct horse battery staple")).await.unwrap();
    let mut approval = phone.approve(pending.id()).await;
    let digits = pending.digits().await.unwrap();
    drop(pending);
    let wrong = if digits == "000000" { "000001" } else { "000000" };
    let mut approval = approval.await_ready().await;
    for _ in 0..3 {
        approval.type_digits(wrong).await.unwrap_err();
    }
    laptop.restart(&world).await;
    let again = laptop.client.link_again().unwrap().unwrap();
    let refused = within("the refusal", again.finish()).await.unwrap_err();
    assert!(matches!(refused, LinkError::Rejected), "{refused}");
    assert!(laptop.client.link_again().unwrap().is_none());
    assert_eq!(laptop.client.account().unwrap(), None);
}

/// LNK-7: three wrong tries end it, for both sides, and the new profile is empty.
#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_tries_end_a_link() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, b"correct horse battery staple")).await.unwrap();
    let mut approval = phone.approve(pending.id()).await;
    let digits = pending.digits().await.unwrap();
    let wrong = if digits == "000000" { "000001" } else { "000000" };
    let mut approval = approval.await_ready().await;
    for left in [2, 1] {
        let refused = approval.type_digits(wrong).await.unwrap_err();
        assert!(matches!(refused, ApproveError::WrongDigits { tries_left } if tries_left == left), "{refused}");
    }
    assert!(matches!(approval.type_digits(wrong).await.unwrap_err(), ApproveError::Ended));
    assert!(matches!(approval.type_digits(&digits).await.unwrap_err(), ApproveError::Ended), "too late");
    let refused = within("the refusal", pending.finish()).await.unwrap_err();
    assert!(matches!(refused, LinkError::Rejected), "{refused}");
    assert_eq!(laptop.client.account().unwrap(), None);
    assert_eq!(phone.client.devices().await.unwrap().len(), 1);
}

/// LNK-7: a typing error is no attack; the right digits still count.
#[tokio::test(flavor = "multi_thread")]
async fn a_typing_error_is_forgiven() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, b"correct horse battery staple")).await.unwrap();
    let mut approval = phone.approve(pending.id()).await;
    let digits = pending.digits().await.unwrap();
    let mut approval = approval.await_ready().await;
    assert_eq!(approval.device_name(), "laptop");
    approval.type_digits("12").await.unwrap_err();
    let spaced = format!("{} {}", &digits[..3], &digits[3..]);
    assert_eq!(approval.type_digits(&spaced).await.unwrap().name, "laptop");
    pending.finish().await.unwrap();
    laptop.online().await;
}

/// ACC-41: a wrong password and an unknown handle are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_says_nothing_about_the_handle() {
    let world = World::start().await;
    let _phone = world.register("alice", "phone").await;
    let mut errors = Vec::new();
    for (person, password) in [("alice", b"wrong".as_slice()), ("nobody", b"correct horse battery staple")] {
        let device = world.device(person, "laptop");
        let error = device.client.link_start(link_draft(&device, password)).await.err().unwrap();
        assert_eq!(error.fault(), Fault::User);
        errors.push(error.to_string());
    }
    assert_eq!(errors[0], errors[1]);
}

/// LNK-5: whoever swaps the new device's nonce on the way is found out by the commitment, and reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_reveal_is_an_attack() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let laptop = world.device("alice", "laptop");
    let mut pending = laptop.client.link_start(link_draft(&laptop, b"correct horse battery staple")).await.unwrap();
    phone.http.tamper(|request, answer| {
        let mut answer = answer?;
        if request.path.contains("wait_s") {
            let mut state: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            if state["state"] == "revealed" {
                state["nonce"] = "A".repeat(43).into();
                state["nonce"] = format!("{}=", state["nonce"].as_str().unwrap()).into();
                answer.body = serde_json::to_vec(&state).unwrap().into();
            }
        }
        Ok(answer)
    });
    let mut events = phone.client.subscribe();
    let client = phone.client.clone();
    let id = pending.id();
    let approving = tokio::spawn(async move { client.approve_start(id).await.err().unwrap() });
    pending.digits().await.unwrap();
    let error = within("the refusal", approving).await.unwrap();
    assert_eq!(error.fault(), Fault::UntrustedKey, "{error}");
    event(&mut events, |event| match event {
        halcyon_client::Event::Alert(alert) => matches!(alert.notice, Notice::LinkTampered { .. }).then_some(()),
        _ => None,
    })
    .await;
}
