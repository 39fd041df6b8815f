//! Who calls, and what that caller may see and do.
//!
//! A handler that takes a [`Caller`] asks it for three things: whether an object is the caller's to see
//! ([`Caller::visible`]: another account's object answers exactly as an unknown id), which account's
//! objects a list shows ([`Caller::narrow`]), and whether an account named in a body is there for the
//! caller ([`Caller::require_account`]: another's answers exactly as one that does not exist). What a
//! scope may do at all is decided before the handler, by the route's [`Access`].

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};

use super::ApiError;
use crate::event::AccountId;
use crate::queue::{Actor, ConfigureSubscriptionError, Key, KeyScope, Registry};

/// Which keys a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is answered without a key.
    Open,
    /// Any key; one that may only read for GET and HEAD alone.
    Keyed,
    /// Any key whatever the method, since the call changes and sends nothing.
    Pure,
    /// Keys of operators.
    Operator,
}

impl Access {
    /// Lets a key of this scope call with this method.
    ///
    /// # Errors
    /// 403 `forbidden`.
    pub(super) fn check(self, method: &Method, scope: KeyScope) -> Result<(), ApiError> {
        match self {
            Self::Operator => require_operator(scope),
            Self::Keyed if !matches!(*method, Method::GET | Method::HEAD) => require_write(scope),
            Self::Open | Self::Keyed | Self::Pure => Ok(()),
        }
    }
}

fn require_operator(scope: KeyScope) -> Result<(), ApiError> {
    match scope {
        KeyScope::Operator => Ok(()),
        KeyScope::Account | KeyScope::Read => {
            Err(ApiError::forbidden("this call needs a key of scope `operator`; use one, or ask the operator to do it"))
        }
    }
}

fn require_write(scope: KeyScope) -> Result<(), ApiError> {
    match scope {
        KeyScope::Operator | KeyScope::Account => Ok(()),
        KeyScope::Read => Err(ApiError::forbidden("this key may only read; use one of scope `account` or `operator`")),
    }
}

/// Whose objects a caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Accounts {
    /// Every account's.
    All,
    /// One account's.
    One(AccountId),
}

/// Which account's objects a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// Those of this account; none: of every account.
    To(Option<AccountId>),
    /// None: the account that was asked for is not there, or not for this caller. Answer with an empty page.
    Nothing,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    key: Arc<Key>,
    address: IpAddr,
}

impl Caller {
    /// The holder of `key`, who calls from `address`.
    pub const fn new(key: Arc<Key>, address: IpAddr) -> Self {
        Self { key, address }
    }

    /// Who the audit log says made the caller's changes.
    pub fn actor(&self) -> Actor {
        Actor::holder(&self.key, self.address)
    }

    /// From where the caller calls.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The caller's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whose objects the caller sees.
    pub fn accounts(&self) -> Accounts {
        self.key.account.clone().map_or(Accounts::All, Accounts::One)
    }

    /// Whether the caller sees the objects of an account.
    pub fn sees(&self, account: &AccountId) -> bool {
        self.key.account.as_ref().is_none_or(|own| own == account)
    }

    /// Whether the caller may change anything.
    pub fn may_write(&self) -> bool {
        require_write(self.key.scope).is_ok()
    }

    /// The object of this kind and id if the caller may see it.
    ///
    /// # Errors
    /// 404 with one and the same body whether there is no such object or it is another account's.
    pub fn visible<T>(&self, what: &str, id: &str, found: Option<T>, account: impl FnOnce(&T) -> &AccountId) -> Result<T, ApiError> {
        found.filter(|object| self.sees(account(object))).ok_or_else(|| ApiError::not_found(what, id))
    }

    /// Which account's objects a list shows when the caller asked for those of `wanted`.
    pub fn narrow(&self, registry: &Registry, wanted: Option<AccountId>) -> Narrowed {
        match (wanted, &self.key.account) {
            (None, own) => Narrowed::To(own.clone()),
            (Some(wanted), _) if self.sees(&wanted) && registry.account(&wanted).is_some() => Narrowed::To(Some(wanted)),
            (Some(_), _) => Narrowed::Nothing,
        }
    }

    /// Passes if the account that a body names is one that the caller sees; whether it exists is for others to tell.
    ///
    /// # Errors
    /// The error for an account that does not exist.
    pub fn require_account(&self, account: &AccountId) -> Result<(), ApiError> {
        if self.sees(account) { Ok(()) } else { Err(ConfigureSubscriptionError::UnknownAccount(account.clone()).into()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Only calls without a key have no caller, and their handlers ask for none.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "this call needs a key"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::clock::Timestamp;
    use crate::queue::LastUse;

    fn caller(scope: KeyScope, account: Option<&str>) -> Caller {
        let mut key = Key::of_operator("0123456789abcdef", Timestamp::default(), LastUse::default());
        key.scope = scope;
        key.account = account.map(|account| account.parse().unwrap());
        Caller::new(Arc::new(key), Ipv4Addr::LOCALHOST.into())
    }

    #[test]
    fn h5_a_scope_passes_where_the_route_lets_it() {
        use Access::{Keyed, Operator, Pure};
        use KeyScope as Scope;
        let table = [
            (Keyed, Method::GET, [true, true, true]),
            (Keyed, Method::HEAD, [true, true, true]),
            (Keyed, Method::POST, [true, true, false]),
            (Keyed, Method::DELETE, [true, true, false]),
            (Pure, Method::POST, [true, true, true]),
            (Operator, Method::GET, [true, false, false]),
            (Operator, Method::POST, [true, false, false]),
        ];
        for (access, method, passes) in table {
            let found = [Scope::Operator, Scope::Account, Scope::Read].map(|scope| access.check(&method, scope).is_ok());
            assert_eq!(found, passes, "{access:?} {method}");
        }
    }

    #[test]
    fn a_list_is_narrowed_to_the_callers_account() {
        let registry = Registry::default();
        let (acme, other): (AccountId, AccountId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let own = caller(KeyScope::Account, Some("acme"));
        assert_eq!(own.narrow(&registry, None), Narrowed::To(Some(acme.clone())));
        assert_eq!(own.narrow(&registry, Some(other.clone())), Narrowed::Nothing);
        assert!(own.sees(&acme) && !own.sees(&other) && own.accounts() == Accounts::One(acme));
        let all = caller(KeyScope::Read, None);
        assert_eq!(all.narrow(&registry, None), Narrowed::To(None));
        assert_eq!(all.narrow(&registry, Some(other)), Narrowed::Nothing, "an account that does not exist answers as another's does");
        assert!(all.accounts() == Accounts::All && !all.may_write());
    }
}
