//! Who does something.

use std::{fmt, str::FromStr};

use sqlx::{
    Decode, Encode, MySql, Type,
    encode::IsNull,
    error::BoxDynError,
    mysql::{MySqlTypeInfo, MySqlValueRef},
};

use crate::{
    db::{Sql, SqlValue},
    primitives::{CustomerId, StaffId, coded},
};

/// Who did something. Tables, events and answers hold its one text, of at most
/// [`Actor::LENGTH_MAX`] characters: `cu_…`, `st_…`, `operator:<name>`, or the word of a
/// [`SystemActor`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    Customer(CustomerId),
    /// A person of a merchant.
    Staff(StaffId),
    /// A person of the tenant, or a program that acts for one.
    Operator(OperatorName),
    /// No person.
    System(SystemActor),
}

coded! {
    /// What acts, or is held to have acted, where no person does. A word is never changed, since
    /// rows carry it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum SystemActor {
        /// What WeChat said.
        WeChat => "wechat",
        /// Somebody unknown who went to WeChat directly.
        Elsewhere => "elsewhere",
        /// The tenant, by what it has laid down.
        Tenant => "tenant",
        /// The policy says what is to be done about an exception.
        Policy => "policy",
        /// Nobody decided a review in time.
        TimeOut => "timeout",
        /// A refund left a review nothing to decide.
        Refund => "refund",
        /// Shares came back, or the channel shared something.
        Sharing => "sharing",
        /// The service found that something does not get on.
        Service => "service",
        /// What was stuck gets on again.
        Progress => "progress",
        /// The job that ends holds.
        Holds => "job:holds",
        /// The time at which a job runs.
        Schedule => "schedule",
        /// The making of a tenant.
        Setup => "system",
    }
}

/// The name in an operator's token, cut to what an actor's text has room for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperatorName(String);

impl OperatorName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const OPERATOR: &str = "operator:";

impl Actor {
    pub const LENGTH_MAX: usize = 64;

    /// A longer name is cut at a character: a name that is too long must not stop the action.
    pub fn operator(name: impl Into<String>) -> Self {
        let mut name = name.into();
        let room = Self::LENGTH_MAX - OPERATOR.len();
        if let Some((end, _)) = name.char_indices().nth(room) {
            name.truncate(end);
        }
        Self::Operator(OperatorName(name))
    }
}

impl From<SystemActor> for Actor {
    fn from(actor: SystemActor) -> Self {
        Self::System(actor)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(id) => id.fmt(f),
            Self::Staff(id) => id.fmt(f),
            Self::Operator(name) => write!(f, "{OPERATOR}{}", name.as_str()),
            Self::System(actor) => f.write_str(actor.name()),
        }
    }
}

/// A text that names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is called that")]
pub struct UnknownActor;

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, UnknownActor> {
        if let Some(name) = text.strip_prefix(OPERATOR) {
            return Ok(Self::operator(name));
        }
        let system = SystemActor::from_name(text).map(Self::System);
        let staff = || text.parse().ok().map(Self::Staff);
        let customer = || text.parse().ok().map(Self::Customer);
        system.or_else(staff).or_else(customer).ok_or(UnknownActor)
    }
}

impl SqlValue for Actor {
    fn write(&self, sql: &mut Sql) {
        sql.text(&self.to_string());
    }
}

impl Type<MySql> for Actor {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }

    fn compatible(ty: &MySqlTypeInfo) -> bool {
        <str as Type<MySql>>::compatible(ty)
    }
}

impl Encode<'_, MySql> for Actor {
    fn encode_by_ref(&self, buf: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        <String as Encode<MySql>>::encode_by_ref(&self.to_string(), buf)
    }
}

impl<'r> Decode<'r, MySql> for Actor {
    fn decode(value: MySqlValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(<&str as Decode<MySql>>::decode(value)?.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Id;

    #[test]
    fn an_operator_with_a_long_name_is_cut_at_a_character() {
        let actor = Actor::operator("账".repeat(70));
        assert_eq!(actor.to_string().chars().count(), Actor::LENGTH_MAX);
        assert_eq!(actor.to_string().parse(), Ok(actor));
    }

    #[test]
    fn an_actor_is_read_as_it_was_written() {
        let id = Id::from_bytes([7; 16]);
        let people = [
            Actor::Customer(CustomerId::new(id)),
            Actor::Staff(StaffId::new(id)),
            Actor::operator("lin"),
            Actor::operator("wechat"),
        ];
        let all = SystemActor::ALL.map(Actor::System);
        for actor in people.into_iter().chain(all) {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert_eq!("lin".parse::<Actor>(), Err(UnknownActor));
    }
}
