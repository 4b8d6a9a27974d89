//! A directory that lies about device lists. Every lie is refused, the person is alarmed, nothing leaves for a device that the
//! account did not sign, others are not touched by it, and when the directory is honest again so is the talk.

use halcyon_client::{Event, Notice, SafetyMark};
use halcyon_directory::resolver::Change;
use halcyon_evil::{Lie, Signing};

use crate::scene::{Scene, sealed};

const NOT_SIGNED: &str = "did not sign";

/// The person is refused and alarmed, the others are not disturbed, and the truth mends it.
async fn every_lie_is_refused(scene: &mut Scene, lies: Vec<(&str, Lie, &str)>) {
    for (name, lie, says) in lies {
        let left = sealed(&scene.alice).len();
        scene.is_refused(lie, says).await;
        assert_eq!(sealed(&scene.alice).len(), left, "{name}: something left");
        scene.still_hears_bob(&format!("while there is a {name}")).await;
        scene.talks_with_carol(&format!("did you hear of the {name}?")).await;
        scene.alice.http.be_honest();
        scene.talks_with_bob(&format!("no {name} any more")).await;
    }
    scene.only_honest_devices_were_sealed_for();
    assert_eq!(scene.mallory.messages().len(), 0);
}

/// DIR-3, DIR-6, DIR-7, DIR-9: whoever runs the server and has no key of Bob's cannot add, swap, drop, weaken or rename a device
/// of his, bring an old list back, or put himself in his place, whatever he signs with.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_no_lie_is_believed() {
    let mut scene = Scene::set().await;
    let mut lies = Vec::new();
    for signing in [Signing::Nothing, Signing::GhostKey, Signing::FreshAccountKey] {
        lies.push(("ghost", Lie::Ghost(signing.clone()), NOT_SIGNED));
        lies.push(("swapped key", Lie::SwappedKey(signing.clone()), NOT_SIGNED));
        lies.push(("swapped identity", Lie::SwappedPairIdentity(signing.clone()), NOT_SIGNED));
        lies.push(("dropped device", Lie::Dropped(signing.clone()), NOT_SIGNED));
        lies.push(("weaker suite", Lie::WeakerSuites(signing.clone()), NOT_SIGNED));
        lies.push(("second list", Lie::Equivocation(signing), NOT_SIGNED));
    }
    lies.push(("old list", Lie::RolledBackList, "old device list (version 1"));
    lies.push(("frozen answer", Lie::Frozen, "old device list (version 1"));
    lies.push(("other account", Lie::OtherAccount(scene.mallory.handle.clone()), "another account"));
    every_lie_is_refused(&mut scene, lies).await;
}

/// DIR-2, DIR-6: a thief of the account key alone cannot speak for Bob's devices; a thief of a whole device cannot make it, or
/// another, somebody else or weaker, nor show two lists of one version.
#[tokio::test(flavor = "multi_thread")]
async fn with_stolen_keys_no_device_changes_unseen() {
    let mut scene = Scene::set().await;
    let (account_key, _) = Scene::stolen_from(&scene.bob);
    // The forger alters the first device of the list: whichever of Bob's that is, it is the one that was robbed.
    let robbed = if first_is(&scene.bob, &scene.tablet) { &scene.bob } else { &scene.tablet };
    let (_, device) = Scene::stolen_from(robbed);
    let lies = vec![
        ("swapped key", Lie::SwappedKey(account_key.clone()), NOT_SIGNED),
        ("swapped identity", Lie::SwappedPairIdentity(account_key.clone()), NOT_SIGNED),
        ("weaker suite", Lie::WeakerSuites(account_key.clone()), NOT_SIGNED),
        ("renamed device", Lie::Equivocation(account_key), NOT_SIGNED),
        ("swapped key of the robbed", Lie::SwappedKey(device.clone()), NOT_SIGNED),
        ("swapped identity of the robbed", Lie::SwappedPairIdentity(device.clone()), "identity of device"),
        ("weaker suite of the robbed", Lie::WeakerSuites(device.clone()), "offers only"),
        ("second list", Lie::Equivocation(device), "two different device lists of version 2"),
    ];
    every_lie_is_refused(&mut scene, lies).await;
}

fn first_is(one: &crate::world::Device, other: &crate::world::Device) -> bool {
    let id = |device: &crate::world::Device| device.client.account().unwrap().unwrap().device;
    id(one) < id(other)
}

/// DIR-8, DIR-6: what a thief of the account key can do, together with the server, is add a device of his own. Alice is shown it;
/// and when the true list comes back, she is alarmed that the list went back, until Bob makes a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn a_ghost_with_the_account_key_is_seen() {
    let mut scene = Scene::set().await;
    let (account_key, _) = Scene::stolen_from(&scene.bob);
    scene.alice.http.tell_about(&scene.bob.handle, Lie::Ghost(account_key));
    scene.alice.client.lookup(&scene.bob.handle).await.unwrap();
    let bob = scene.bob.handle.clone();
    let shown = scene
        .event(|event| match event {
            Event::DevicesChanged { handle, changes } if handle == bob => Some(changes),
            _ => None,
        })
        .await;
    // Two of the scene's own come first: none, since Alice looked Bob up herself with the tablet.
    let added = |changes: &[Change]| matches!(changes, [Change::DeviceAdded { .. }]);
    assert!(added(&shown), "{shown:?}");

    scene.see_all_alarms();
    scene.alice.http.be_honest();
    let error = scene.alice.client.lookup(&scene.bob.handle).await.unwrap_err();
    assert!(error.to_string().contains("old device list"), "{error}");
    scene.is_alarmed("old device list").await;
    scene.bob.client.rename_device("my phone").await.unwrap();
    scene.bob.client.rename_device("my old phone").await.unwrap();
    scene.talks_with_bob("there you are").await;
}

/// DIR-7, OWN-31: a handle that stands for another account is refused until the person says that it is right; then they see that it is not
/// the one with whom they compared a code.
#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_moved_needs_consent() {
    let mut scene = Scene::set().await;
    let (bob, mallory) = (scene.bob.handle.clone(), scene.mallory.handle.clone());
    let hers = scene.alice.client.lookup(&mallory).await.unwrap();
    let mark = |scene: &Scene| scene.alice.client.safety(&bob).unwrap().unwrap().mark;
    scene.alice.client.set_compared(&bob, true).unwrap();
    scene.is_refused(Lie::OtherAccount(mallory), "another account").await;
    assert_eq!(mark(&scene), SafetyMark::Compared, "it stands for him still");
    let accepted = scene.alice.client.dangerous_accept_new_account(&bob).await.unwrap();
    assert_eq!(accepted.account, hers.account);
    assert_eq!(mark(&scene), SafetyMark::Changed);
}

/// DIR-6, DIR-9: a server that lies to a device about its own account is refused and reported in the same way, and the device
/// signs no list on top of the lie.
#[tokio::test(flavor = "multi_thread")]
async fn lies_about_the_own_account_are_refused() {
    let scene = Scene::set().await;
    let (bob, tablet) = (&scene.bob, scene.tablet.client.account().unwrap().unwrap().device);
    bob.client.rename_device("telephone").await.unwrap();
    let (account_key, _) = Scene::stolen_from(&scene.bob);
    let before = bob.client.devices().await.unwrap();
    let version = scene.alice.client.lookup(&bob.handle).await.unwrap().list_version;
    let lies = [
        (Lie::Ghost(Signing::Nothing), NOT_SIGNED),
        (Lie::Ghost(Signing::FreshAccountKey), NOT_SIGNED),
        (Lie::SwappedKey(account_key.clone()), NOT_SIGNED),
        (Lie::WeakerSuites(account_key), NOT_SIGNED),
        (Lie::Dropped(Signing::GhostKey), NOT_SIGNED),
        (Lie::RolledBackList, "old device list"),
    ];
    for (lie, says) in lies {
        for alert in bob.client.alerts().unwrap() {
            bob.client.mark_alert_seen(alert.id).unwrap();
        }
        bob.http.tell(lie);
        let refusals = [
            bob.client.devices().await.unwrap_err().to_string(),
            bob.client.rename_device("another").await.unwrap_err().to_string(),
            bob.client.remove_device(tablet).await.unwrap_err().to_string(),
        ];
        assert!(bob.http.told() >= 3);
        assert!(refusals.iter().all(|refusal| refusal.contains(says)), "{refusals:?}");
        let alerts = bob.client.alerts().unwrap();
        let alarmed = |notice: &Notice| matches!(notice, Notice::Refused { reason, .. } if reason.contains(says));
        assert_eq!(alerts.iter().filter(|alert| !alert.seen && alarmed(&alert.notice)).count(), 1);
    }
    bob.http.be_honest();
    assert_eq!(bob.client.devices().await.unwrap(), before);
    assert_eq!(scene.alice.client.lookup(&bob.handle).await.unwrap().list_version, version, "nothing was published");
}
