//! What a test breaks on purpose, one thing a world, to see that it is caught.

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The disks of devices report syncs that they did not make (I1, I2).
    DeviceDisksLie,
    /// The server's disk reports syncs that it did not make (I10).
    ServerDiskLies,
    /// Deliveries are acknowledged before the client saw them (I2).
    EarlyAcknowledgement,
    /// Every message is stored a second time under another id (I3).
    MessageShownTwice,
    /// A text is in a request (I4).
    TextLeaks,
    /// A device is on a list that its person did not add, signed with the account's own key (I6).
    GhostDevice,
    /// Mailboxes take more than their limit (I7).
    EndlessMailbox,
    /// Mailboxes keep what expired (I7).
    MailboxKeepsExpired,
    /// A device's list goes back to an older one, and it does not notice (I8).
    ListGoesBack,
    /// A log line names a handle (I9).
    HandleIsLogged,
    /// A log line has a device's push token (I9).
    PushTokenIsLogged,
    /// A log line has a session token (I9).
    SessionTokenIsLogged,
    /// The mailboxes answer without storing (I10).
    MailboxForgets,
    /// The mailboxes delete what is not expired yet (I3).
    MailboxExpiresEarly,
    /// A client shows as delivered what the server only accepted (I3).
    DeliveredTooEarly,
    /// The server goes on after a failed sync (I10).
    FailedSyncIsIgnored,
    /// The server hides how far a device was, so that one that went back does not notice (REP-21).
    EpochIsHidden,
    /// Nobody asks for what is missing or does not open (I3).
    NobodyAsks,
}
