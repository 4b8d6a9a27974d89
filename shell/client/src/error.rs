//! Why operations did not succeed: one enum an operation.
//!
//! Owns the causes, whose fault each is ([`Fault`]) and what a person can do. No message holds a handle, content, key or token.

use halcyon_content::{Denied, EncodeError, MembersError, group::ChangeError};
use halcyon_courier::limits::HOLDS_MAX;
use halcyon_directory::{
    EntryError, ListError,
    link_approval::{approver::ApproverError, newcomer::NewcomerError},
    report::NOTE_BYTES_MAX,
    resolver::Refusal,
};
use halcyon_suites::StateError;

use crate::{
    fault::Fault,
    ports::{HttpError, StoreError},
};

/// Why a request to the server did not give the answer that was hoped for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server refused, and said why (ACC-3).
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// The answer is not what the specification says. The server's fault.
    #[error("the server's answer about {0} is malformed")]
    Malformed(&'static str),
}

/// What the server said in a problem document (ACC-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status code.
    pub status: u16,
    /// The code that programs act on.
    pub code: String,
    /// For people; control characters removed.
    pub detail: String,
    /// When to try again.
    pub retry_after_s: Option<u64>,
    /// The server's clock, where clocks are the problem.
    pub server_time_ms: Option<u64>,
    /// Tries that are left, where tries are counted.
    pub tries_left: Option<u64>,
}

impl ApiError {
    /// Returns whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Http(HttpError::Untrusted(_)) => Fault::UntrustedKey,
            Self::Http(_) => Fault::Io,
            Self::Problem(problem) if problem.status == 429 => Fault::RateLimit,
            Self::Problem(problem) if problem.status >= 500 => Fault::Io,
            Self::Problem(_) => Fault::User,
            Self::Malformed(_) => Fault::Unexpected,
        }
    }

    /// Returns the problem's code, if the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Http(_) | Self::Malformed(_) => None,
        }
    }
}

impl StoreError {
    /// Returns whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Io
    }
}

/// Why the state of this profile cannot be used. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not what this version writes.
    #[error("the profile is damaged: {0}")]
    Damaged(&'static str),
    /// What a suite kept is not what this version writes.
    #[error("the profile is damaged, or a newer version of this program used it")]
    Suite(#[from] StateError),
    /// There is no account here yet.
    #[error("this profile has no account yet: register, or link it to an account")]
    NoAccount,
    /// There is an account here already.
    #[error("this profile has an account already; use another profile")]
    HasAccount,
    /// This device was removed from its account.
    #[error("this device was removed from its account by another device; link it again with a new profile")]
    Removed,
}

impl ProfileError {
    /// Returns whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Damaged(_) | Self::Suite(_) => Fault::Io,
            Self::NoAccount | Self::HasAccount | Self::Removed => Fault::User,
        }
    }
}

macro_rules! fault_of {
    ($error:ident, $($pattern:pat => $fault:expr),+ $(,)?) => {
        impl $error {
            /// Returns whose fault it is.
            #[must_use]
            pub fn fault(&self) -> Fault {
                match self { $($pattern => $fault),+ }
            }
        }
    };
}

/// Why a handle was not verified.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerificationError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// ACC-20: this server does not verify handles of this kind.
    #[error("this server cannot verify handles of this kind; use an email address")]
    KindUnsupported,
    /// ACC-21.
    #[error("the code is wrong; {tries_left} tries are left")]
    WrongCode {
        /// Tries that are left.
        tries_left: u64,
    },
    /// ACC-21: too late, too many wrong tries, or used already.
    #[error("this verification is over; ask for a new code")]
    Ended,
}
fault_of!(VerificationError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::KindUnsupported | Self::WrongCode { .. } | Self::Ended => Fault::User,
);

/// Why there is no new account. Unless the server's answer got lost, nothing happened there; trying again is safe in any case.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// ACC-31: the code was not typed and the link was not followed yet.
    #[error("the handle is not verified yet: type the code of the mail, or follow its link")]
    NotVerified,
    /// ACC-32.
    #[error("this handle belongs to an account already: link this device to it instead")]
    HandleTaken,
    /// The password is empty or too long.
    #[error("the password is empty or longer than 1024 bytes")]
    Password,
    /// DIR-1.
    #[error("the device's name is not valid")]
    DeviceName(#[source] EntryError),
    /// The server's half of the password protocol is not what it should be.
    #[error("the server's answer in the password protocol is malformed")]
    PasswordProtocol,
}
fault_of!(RegisterError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::NotVerified | Self::HandleTaken | Self::Password | Self::DeviceName(_) => Fault::User,
    Self::PasswordProtocol => Fault::Unexpected,
);

/// Why this device was not linked. The profile is as empty as before (LNK-10).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// ACC-41: nobody is told which.
    #[error("the password is wrong, or nobody has this handle")]
    SignInFailed,
    /// The password is empty or too long.
    #[error("the password is empty or longer than 1024 bytes")]
    Password,
    /// DIR-1.
    #[error("the device's name is not valid")]
    DeviceName(#[source] EntryError),
    /// LNK-1: five links of this account are open.
    #[error("too many devices ask to be linked at once; wait until they ended")]
    TooManyOpen,
    /// LNK-7: the digits were wrong three times, or the person refused.
    #[error("the other device refused to link this one")]
    Rejected,
    /// LNK-1: 15 minutes are over.
    #[error("nobody approved this device in time; try again")]
    Expired,
    /// LNK-10.
    #[error(transparent)]
    Untrusted(#[from] NewcomerError),
}
fault_of!(LinkError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::SignInFailed | Self::Password | Self::DeviceName(_) | Self::Rejected | Self::Expired => Fault::User,
    Self::TooManyOpen => Fault::RateLimit,
    Self::Untrusted(_) => Fault::UntrustedKey,
);

/// Why a new device was not approved. It does not belong to the account.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApproveError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// No such link waits.
    #[error("no device of this account waits under this id")]
    NoSuchLink,
    /// LNK-2: another device approves it already, or it is over.
    #[error("another device is approving it already, or it is over")]
    Taken,
    /// LNK-6.
    #[error("these are not the digits that the new device shows; {tries_left} tries are left")]
    WrongDigits {
        /// Tries that are left.
        tries_left: u8,
    },
    /// LNK-7.
    #[error("the digits were wrong three times; the new device must ask again")]
    Ended,
    /// LNK-1: 15 minutes are over, or the new device went away.
    #[error("the new device did not answer in time; it must ask again")]
    Expired,
    /// LNK-2, LNK-5: entry, key or commitment are not right.
    #[error(transparent)]
    Untrusted(#[from] ApproverError),
    /// DIR-6: the server's list of this account is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// DIR-4: other devices kept changing the list at the same time.
    #[error("other devices keep changing the device list at the same time; try again")]
    Conflict,
}
fault_of!(ApproveError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::NoSuchLink | Self::Taken | Self::WrongDigits { .. } | Self::Ended | Self::Expired => Fault::User,
    Self::Untrusted(_) | Self::Refused(_) => Fault::UntrustedKey,
    Self::Conflict => Fault::Io,
);

/// Why a message was not sent. Nothing was committed, nothing left, nothing was used up (SND-1).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// CON-2.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// CON-1, CON-3.
    #[error(transparent)]
    Content(#[from] EncodeError),
    /// The handle to send from is not one of this account's.
    #[error("the handle to send from does not belong to this account")]
    NotOwnHandle,
    /// What something is to be done to is not here.
    #[error("there is no such message here, or this version cannot show it")]
    NoSuchMessage,
    /// CON-12 to CON-14: no receiver would count it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Of a group (GRP-4).
    #[error(transparent)]
    Group(#[from] GroupError),
    /// DIR-21: nobody is told which.
    #[error("recipient {number} is not known to the server, or does not want to be found")]
    Unknown {
        /// Place among the recipients as given, from 1.
        number: usize,
    },
    /// DIR-6, DIR-7.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A recipient was never looked up, and the server does not answer now.
    #[error("a recipient is new here and cannot be looked up now: {0}")]
    Api(ApiError),
    /// SCD-2.
    #[error("a message can be scheduled up to 14 days ahead")]
    TooFarAhead,
    /// SCD-2.
    #[error("the time for which it is scheduled is over")]
    TimeIsOver,
    /// SCD-2.
    #[error("{HOLDS_MAX} messages of this device wait for their time already")]
    TooManyScheduled,
}
fault_of!(SendError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::Members(_) | Self::Content(_) | Self::NotOwnHandle | Self::NoSuchMessage | Self::Denied(_) | Self::Group(_)
    | Self::Unknown { .. } | Self::TooFarAhead | Self::TimeIsOver | Self::TooManyScheduled => Fault::User,
    Self::Refused(_) => Fault::UntrustedKey,
);

/// Why a group was not changed, or written to. The fault is the person's; nothing was committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// It is not known here.
    #[error("there is no such group here")]
    NoSuchGroup,
    /// GRP-4, GRP-8.
    #[error("this account is not a member of the group any more")]
    NotAMember,
    /// GRP-4.
    #[error("nothing would change: it is so already, too few would stay, or the group cannot be changed any more")]
    NoEffect,
    /// GRP-4.
    #[error("a group can be left if at least {} stay in it", halcyon_content::group::LEFT_BEHIND_MIN)]
    TooFewStay,
    /// Nobody is told which.
    #[error("number {number} is not a member of the group")]
    NoSuchMember {
        /// Place among those given, from 1.
        number: usize,
    },
    /// GRP-2.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why the operator was not told of a message. Unless the server's answer got lost, nothing left; trying again is safe in any case.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// There is none, or it was deleted here.
    #[error("there is no such message here, or it was deleted")]
    NoSuchMessage,
    /// ACC-64
    #[error("this message is your own account's; only somebody else's can be reported")]
    Own,
    /// ACC-60
    #[error("a note has at most {NOTE_BYTES_MAX} bytes")]
    Note,
    /// ACC-60
    #[error("the report cannot be made: {0}")]
    Report(#[from] halcyon_directory::report::ReportError),
    /// ACC-61: it is of before there were reports.
    #[error("this server takes no reports; its operator has to upgrade it")]
    Unsupported,
    /// ACC-62
    #[error("the operator has not looked at your earlier reports yet, and the server keeps no more of this account")]
    TooMany,
}
fault_of!(ReportError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::NoSuchMessage | Self::Own | Self::Note | Self::TooMany => Fault::User,
    Self::Unsupported => Fault::Io,
    Self::Report(_) => Fault::Unexpected,
);

impl ReportError {
    pub(crate) fn of_api(error: ApiError) -> Self {
        match error.code() {
            Some("not_found") => Self::Unsupported,
            Some("too_many_reports") => Self::TooMany,
            _ => Self::Api(error),
        }
    }
}

impl From<StoreError> for ReportError {
    fn from(error: StoreError) -> Self {
        Self::Profile(error.into())
    }
}

/// Why a handle was not resolved to devices.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// DIR-21: nobody is told which.
    #[error("this handle is not known to the server, or does not want to be found")]
    Unknown,
    /// DIR-6, DIR-7: the user was alarmed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}
fault_of!(LookupError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::Unknown => Fault::User,
    Self::Refused(_) => Fault::UntrustedKey,
);

/// Why the device list was not read or changed. It is as before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevicesError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// The server's list of this account is not believed (DIR-6).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The new name is not valid (DIR-1).
    #[error("the device's name is not valid")]
    Name(#[source] EntryError),
    /// No such device in the account.
    #[error("this account has no such device")]
    NoSuchDevice,
    /// A device cannot remove itself: it could not sign the list that it is not in.
    #[error("a device cannot remove itself; do it from another one")]
    ThisDevice,
    /// SUI-9: nothing could be sent to or from a device without a suite.
    #[error("this is the only suite that is switched on")]
    LastSuite,
    /// The new list would not be valid.
    #[error("the new device list would not be valid: {0}")]
    List(#[source] ListError),
    /// DIR-4: other devices kept changing the list at the same time.
    #[error("other devices keep changing the device list at the same time; try again")]
    Conflict,
}
fault_of!(DevicesError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::Refused(_) => Fault::UntrustedKey,
    Self::Name(_) | Self::NoSuchDevice | Self::ThisDevice | Self::LastSuite | Self::List(_) => Fault::User,
    Self::Conflict => Fault::Io,
);

/// Why the own handles were not read or changed. They are as before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlesError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server.
    #[error(transparent)]
    Api(ApiError),
    /// ACC-20.
    #[error("this server cannot verify handles of this kind; use an email address")]
    KindUnsupported,
    /// ACC-51.
    #[error("this handle belongs to another account")]
    Taken,
    /// ACC-51.
    #[error("an account has at most 20 handles")]
    TooMany,
    /// ACC-52.
    #[error("the last handle of an account cannot be removed")]
    Last,
    /// Not one of this account's.
    #[error("this handle does not belong to this account")]
    NotOwn,
}
fault_of!(HandlesError,
    Self::Profile(error) => error.fault(),
    Self::Api(error) => error.fault(),
    Self::KindUnsupported | Self::Taken | Self::TooMany | Self::Last | Self::NotOwn => Fault::User,
);

/// Why something was not chosen, read or deleted. Everything is as before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChooseError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// There is no such message of somebody else's, or it was deleted for good.
    #[error("there is no such message here")]
    NoSuchMessage,
    /// There is no such conversation.
    #[error("there is no such conversation here")]
    NoSuchConversation,
    /// The value is none that can be chosen.
    #[error("this cannot be chosen; it takes {0}")]
    Value(String),
    /// Not one of this account's.
    #[error("this handle does not belong to this account")]
    NotOwnHandle,
    /// OWN-8.
    #[error("there are too many contacts; at most {0} are kept")]
    TooMany(usize),
}
fault_of!(ChooseError,
    Self::Profile(error) => error.fault(),
    Self::NoSuchMessage | Self::NoSuchConversation | Self::Value(_) | Self::NotOwnHandle | Self::TooMany(_) => Fault::User,
);

macro_rules! from_store {
    ($($error:ident),+) => { $(
        impl From<StoreError> for $error {
            fn from(error: StoreError) -> Self {
                Self::Profile(error.into())
            }
        }
    )+ };
}
from_store!(
    VerificationError,
    RegisterError,
    LinkError,
    ApproveError,
    SendError,
    LookupError,
    DevicesError,
    HandlesError,
    ChooseError
);
