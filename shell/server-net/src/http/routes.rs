//! Every endpoint of the HTTPS port, in one table.
//!
//! Owns method, path, and who may call. The router, the OpenAPI document and the tests are held against it.

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody.
    Anyone,
    /// Whoever knows the id of a verification, or the token in a mail.
    VerificationHolder,
    /// Whoever holds the device key that the body names (ACC-32, LNK-1).
    KeyHolder,
    /// A device of an account (ACC-2).
    Member,
    /// A device of the account of the link, or the device that wants to join (LNK-3).
    LinkParty,
    /// The device that wants to join (LNK-4).
    NewDevice,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Nothing.
    None,
    /// JSON.
    Json,
    /// Protobuf.
    Protobuf,
    /// A page for people.
    Html,
    /// Frames of the courier (COU-2).
    WebSocket,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// In upper case.
    pub method: &'static str,
    /// With parameters in braces.
    pub path: &'static str,
    /// Who may call.
    pub caller: Caller,
    /// What comes in.
    pub request: Media,
    /// What goes out with [`Self::status`].
    pub response: Media,
    /// The status of success.
    pub status: u16,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The requirement that describes it.
    pub requirement: &'static str,
}

const fn route(
    (method, path): (&'static str, &'static str),
    caller: Caller,
    (request, response): (Media, Media),
    status: u16,
    (requirement, summary): (&'static str, &'static str),
) -> Route {
    Route { method, path, caller, request, response, status, summary, requirement }
}

use Caller::{Anyone, KeyHolder, LinkParty, Member, NewDevice, VerificationHolder};
use Media::{Html, Json, None, Protobuf, WebSocket};

/// Every endpoint.
pub const ROUTES: &[Route] = &[
    route(("POST", "/v1/verifications"), Anyone, (Json, Json), 202, ("ACC-20", "Begins to verify a handle.")),
    route(
        ("GET", "/v1/verifications/{id}"),
        VerificationHolder,
        (None, Json),
        200,
        ("ACC-23", "Says whether it is verified."),
    ),
    route(
        ("POST", "/v1/verifications/{id}/code"),
        VerificationHolder,
        (Json, Json),
        200,
        ("ACC-21", "Verifies by code."),
    ),
    route(
        ("GET", "/verify/{token}"),
        VerificationHolder,
        (None, Html),
        200,
        ("ACC-22", "Shows the button; changes nothing."),
    ),
    route(("POST", "/verify/{token}"), VerificationHolder, (None, Html), 200, ("ACC-22", "Verifies by link.")),
    route(
        ("POST", "/v1/registrations/start"),
        VerificationHolder,
        (Json, Json),
        200,
        ("ACC-31", "Begins to set a password."),
    ),
    route(("POST", "/v1/registrations/finish"), KeyHolder, (Json, Json), 201, ("ACC-32", "Makes an account.")),
    route(("POST", "/v1/sign-ins/start"), Anyone, (Json, Json), 200, ("ACC-40", "Begins to prove a password.")),
    route(("POST", "/v1/sign-ins/finish"), Anyone, (Json, Json), 200, ("ACC-41", "Proves a password, gives a ticket.")),
    route(("GET", "/v1/account"), Member, (None, Json), 200, ("ACC-50", "Shows one's own account.")),
    route(("POST", "/v1/handles"), Member, (Json, Json), 202, ("ACC-51", "Begins to add a handle.")),
    route(("DELETE", "/v1/handles/{handle}"), Member, (None, None), 204, ("ACC-52", "Removes a handle.")),
    route(("POST", "/v1/links"), KeyHolder, (Json, Json), 201, ("LNK-1", "Asks to join an account.")),
    route(("GET", "/v1/links"), Member, (None, Json), 200, ("LNK-2", "Lists the devices that ask to join.")),
    route(("GET", "/v1/links/{id}"), LinkParty, (None, Json), 200, ("LNK-3", "Shows a link; waits with ?wait_s=.")),
    route(("POST", "/v1/links/{id}/challenge"), Member, (Json, None), 204, ("LNK-2", "Challenges a new device.")),
    route(("POST", "/v1/links/{id}/reveal"), NewDevice, (Json, None), 204, ("LNK-4", "Reveals what was committed to.")),
    route(("POST", "/v1/links/{id}/reject"), LinkParty, (None, None), 204, ("LNK-7", "Ends a link.")),
    route(("POST", "/v1/links/{id}/complete"), Member, (Json, None), 204, ("LNK-8", "Lets the new device join.")),
    route(("POST", "/v1/lookup"), Member, (Protobuf, Protobuf), 200, ("DIR-20", "Looks handles up.")),
    route(("PUT", "/v1/device-list"), Member, (Protobuf, None), 204, ("DIR-4", "Replaces the device list.")),
    route(("PUT", "/v1/prekeys"), Member, (Protobuf, None), 204, ("DIR-10", "Replaces the device's prekeys.")),
    route(("POST", "/v1/reports"), Member, (Protobuf, Json), 201, ("ACC-61", "Reports a message to the operator.")),
    route(
        ("GET", "/v1/courier"),
        Anyone,
        (None, WebSocket),
        101,
        ("COU-2", "Opens a courier connection, which authenticates inside."),
    ),
    route(("GET", "/v1/server"), Anyone, (None, Json), 200, ("ACC-5", "Says where the courier listens.")),
    route(("GET", "/v1/openapi.json"), Anyone, (None, Json), 200, ("ACC-3", "Describes these endpoints.")),
];
