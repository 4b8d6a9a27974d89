//! Every endpoint as every caller (ACC-2, DIR-5, LNK-2 to LNK-8).

use std::collections::BTreeSet;

use halcyon_server_net::http::routes::ROUTES;

use super::callers::{Caller, Cast, Prepared, clone};
use crate::world::World;

/// The status of each endpoint for each caller. Columns are [`Caller::ALL`]. A request that was refused leaves everything
/// as it was, so that the right caller's goes through after it; where the status is 401, the code is the column's
/// ([`Caller::refusal`]).
///
/// An endpoint that takes no signature does not look at one: it knows its caller by an id or token that nobody else has,
/// and what it takes once (a code, a button, a sign-in, a ticket) it does not take again. A link is completed by the device
/// that challenged it, and by no other of the account.
const TABLE: &str = "
                                  right sibling newcomer other revoked stranger nobody expired foreign replayed forged
POST   /v1/verifications            202     202      202   202     202      202    202     202     202      202    202
GET    /v1/verifications/{id}       200     200      200   200     200      200    200     200     200      200    200
POST   /v1/verifications/{id}/code  200     200      200   200     200      200    200     200     200      410    200
GET    /verify/{token}              200     200      200   200     200      200    200     200     200      200    200
POST   /verify/{token}              200     200      200   200     200      200    200     200     200      410    200
POST   /v1/registrations/start      200     200      200   200     200      200    200     200     200      200    200
POST   /v1/registrations/finish     201     401      401   401     401      401    401     401     401      403    401
POST   /v1/sign-ins/start           200     200      200   200     200      200    200     200     200      200    200
POST   /v1/sign-ins/finish          200     200      200   200     200      200    200     200     200      403    200
GET    /v1/account                  200     200      401   200     401      401    401     401     401      401    401
POST   /v1/handles                  202     202      401   202     401      401    401     401     401      401    401
DELETE /v1/handles/{handle}         204     204      401   404     401      401    401     401     401      401    401
POST   /v1/links                    201     401      401   401     401      401    401     401     401      403    401
GET    /v1/links                    200     200      401   200     401      401    401     401     401      401    401
GET    /v1/links/{id}               200     200      200   404     401      401    401     401     401      401    401
POST   /v1/links/{id}/challenge     204     204      401   404     401      401    401     401     401      401    401
POST   /v1/links/{id}/reveal        204     409      204   404     401      401    401     401     401      401    401
POST   /v1/links/{id}/reject        204     204      204   404     401      401    401     401     401      401    401
POST   /v1/links/{id}/complete      204     409      401   404     401      401    401     401     401      401    401
POST   /v1/lookup                   200     200      401   200     401      401    401     401     401      401    401
PUT    /v1/device-list              204     204      401   403     401      401    401     401     401      401    401
PUT    /v1/prekeys                  204     400      401   400     401      401    401     401     401      401    401
POST   /v1/reports                  201     400      401   400     401      401    401     401     401      401    401
GET    /v1/courier                  101     101      101   101     101      101    101     101     101      101    101
GET    /v1/server                   200     200      200   200     200      200    200     200     200      200    200
GET    /v1/openapi.json             200     200      200   200     200      200    200     200     200      200    200
";

struct Row {
    method: &'static str,
    path: &'static str,
    expected: Vec<u16>,
}

fn rows() -> Vec<Row> {
    let mut lines = TABLE.trim().lines();
    let columns: Vec<String> = lines.next().unwrap().split_whitespace().map(str::to_owned).collect();
    let named: Vec<String> = Caller::ALL.iter().map(|caller| format!("{caller:?}").to_lowercase()).collect();
    assert_eq!(columns, named, "the table's columns are the callers");
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let expected: Vec<u16> = words.map(|status| status.parse().unwrap()).collect();
            assert_eq!(expected.len(), Caller::ALL.len(), "{method} {path}");
            Row { method, path, expected }
        })
        .collect()
}

/// ACC-2: the table has every endpoint of the router, once, and no other. A new one fails here until somebody decided who
/// may call it.
#[test]
fn every_endpoint_has_a_row() {
    let rows: Vec<(&str, &str)> = rows().iter().map(|row| (row.method, row.path)).collect();
    let distinct: BTreeSet<_> = rows.iter().copied().collect();
    let routes: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    assert_eq!(distinct, routes);
    assert_eq!(rows.len(), distinct.len(), "an endpoint stands in the table twice");
    // Who may call, as the router has it, is what the table says.
    use halcyon_server_net::http::routes::Caller::{KeyHolder, LinkParty, Member, NewDevice};
    for row in self::rows() {
        let route = ROUTES.iter().find(|route| (route.method, route.path) == (row.method, row.path)).unwrap();
        let signed = matches!(route.caller, Member | KeyHolder | LinkParty | NewDevice);
        assert_eq!(row.expected[0], route.status, "{} {}", row.method, row.path);
        assert_eq!(row.expected[6] == 401, signed, "{} {} without a signature", row.method, row.path);
    }
}

/// ACC-1, ACC-2, ACC-41, DIR-4, DIR-5, DIR-10, LNK-1 to LNK-8: every cell of the table, and after every refusal the
/// request of the right caller goes through as if nothing had been.
#[tokio::test]
async fn every_endpoint_as_every_caller() {
    let world = World::start_with(|settings| {
        settings.limits.sign_ins_per_handle_hour = 100_000;
        settings.limits.open_links_per_account = 10_000;
        settings.limits.lookups_burst = 10_000;
        settings.limits.reports_per_day = 10_000;
    })
    .await;
    let mut cast = Cast::assemble(&world).await;
    let mut wrong = Vec::new();
    for row in rows() {
        let mut cells: Vec<(Caller, u16)> = Caller::ALL.into_iter().zip(row.expected).collect();
        // Who is refused comes first, all with the request that the right one makes after them.
        cells.sort_by_key(|(_, status)| (200..300).contains(status));
        let mut prepared: Option<Prepared> = None;
        for (caller, expected) in cells {
            let fresh = match prepared.take() {
                Some(prepared) if caller != Caller::Replayed => prepared,
                _ => cast.prepare(&world, row.method, row.path).await,
            };
            let request = cast.sign(&world, &fresh, caller);
            if caller == Caller::Replayed {
                let first = world.client().send(clone(&request)).await;
                assert!(first.status.is_success() || first.status == 101, "{} {}: {first:?}", row.method, row.path);
            }
            let answer = world.client().send(request).await;
            let found = answer.status.as_u16();
            let code_fits = found != 401 || answer.problem().1 == caller.refusal();
            if found != expected || !code_fits {
                let said = String::from_utf8_lossy(&answer.body);
                wrong.push(format!("{} {} as {caller:?}: {found}, not {expected}: {said}", row.method, row.path));
            }
            if !answer.status.is_success() && caller != Caller::Replayed {
                prepared = Some(fresh);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// ACC-3: methods that no endpoint has are refused for everybody, before anybody is asked who they are.
#[tokio::test]
async fn other_methods_are_no_way_in() {
    let world = World::start().await;
    let client = world.client();
    for route in ROUTES {
        let path =
            route.path.replace("{id}", &"0".repeat(32)).replace("{token}", &"0".repeat(64)).replace("{handle}", "x");
        for method in ["PATCH", "TRACE", "DELETE", "PUT"] {
            if ROUTES.iter().any(|other| (other.method, other.path) == (method, route.path)) {
                continue;
            }
            let answer = client.send(client.request(method, &path, "application/json", "{}")).await;
            assert_eq!(answer.problem(), (405, "wrong_method".to_owned()), "{method} {path}");
        }
    }
}
