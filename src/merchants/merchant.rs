//! A merchant and its states. Pure.

use super::field::SubMchid;
use crate::primitives::{MerchantId, Secret, TenantId, Timestamp, coded};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    pub id: MerchantId,
    pub tenant: TenantId,
    pub name: String,
    pub contact_name: Secret<String>,
    pub contact_phone: Secret<String>,
    pub business_license: String,
    pub address: String,
    pub state: MerchantState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

coded! {
    /// See the table in the slice's text.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum MerchantState as MerchantStateKind: Serde {
        Pending => "pending",
        Approved { sub_mchid: SubMchid } => "approved",
        Rejected { reason: String } => "rejected",
        Suspended { sub_mchid: SubMchid, reason: String } => "suspended",
    }
}

/// What an event led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<T> {
    Now(T),
    /// It was so already; nothing is to be written.
    Before(T),
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a merchant that is {from} cannot {event}")]
pub struct InvalidTransition {
    pub from: &'static str,
    /// As a verb: `be approved`.
    pub event: &'static str,
    /// The state in which it would be allowed.
    pub only: &'static str,
}

impl MerchantState {
    pub const fn sub_mchid(&self) -> Option<&SubMchid> {
        match self {
            Self::Approved { sub_mchid } | Self::Suspended { sub_mchid, .. } => Some(sub_mchid),
            Self::Pending | Self::Rejected { .. } => None,
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Rejected { reason } | Self::Suspended { reason, .. } => Some(reason),
            Self::Pending | Self::Approved { .. } => None,
        }
    }

    /// May collect money.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Approved { .. })
    }

    pub fn approve(self, number: SubMchid) -> Result<Applied<Self>, InvalidTransition> {
        match self {
            Self::Pending => Ok(Applied::Now(Self::Approved { sub_mchid: number })),
            Self::Approved { ref sub_mchid } if *sub_mchid == number => Ok(Applied::Before(self)),
            Self::Approved { .. } | Self::Rejected { .. } | Self::Suspended { .. } => {
                Err(self.refuse("be approved", MerchantStateKind::Pending))
            }
        }
    }

    pub fn reject(self, reason: String) -> Result<Applied<Self>, InvalidTransition> {
        match self {
            Self::Pending => Ok(Applied::Now(Self::Rejected { reason })),
            Self::Rejected { .. } => Ok(Applied::Before(self)),
            Self::Approved { .. } | Self::Suspended { .. } => {
                Err(self.refuse("be rejected", MerchantStateKind::Pending))
            }
        }
    }

    pub fn suspend(self, reason: String) -> Result<Applied<Self>, InvalidTransition> {
        match self {
            Self::Approved { sub_mchid } => Ok(Applied::Now(Self::Suspended { sub_mchid, reason })),
            Self::Suspended { .. } => Ok(Applied::Before(self)),
            Self::Pending | Self::Rejected { .. } => {
                Err(self.refuse("be suspended", MerchantStateKind::Approved))
            }
        }
    }

    const fn refuse(&self, event: &'static str, only: MerchantStateKind) -> InvalidTransition {
        InvalidTransition {
            from: self.kind().name(),
            event,
            only: only.name(),
        }
    }
}

impl Merchant {
    /// `138****1234`: enough to recognise, not enough to call.
    pub fn contact_phone_masked(&self) -> String {
        mask_phone(self.contact_phone.expose())
    }

    /// The first character: `张**`.
    pub fn contact_name_masked(&self) -> String {
        self.contact_name
            .expose()
            .chars()
            .take(1)
            .chain("**".chars())
            .collect()
    }
}

fn mask_phone(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().collect();
    match digits.len() {
        0..8 => "****".to_owned(),
        length => {
            let head: String = digits[..3].iter().collect();
            let tail: String = digits[length - 4..].iter().collect();
            format!("{head}****{tail}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SubMchid {
        SubMchid::parse(text).unwrap()
    }

    fn states() -> [MerchantState; 4] {
        let reason = || "原因".to_owned();
        [
            MerchantState::Pending,
            MerchantState::Approved {
                sub_mchid: number("1900000109"),
            },
            MerchantState::Rejected { reason: reason() },
            MerchantState::Suspended {
                sub_mchid: number("1900000109"),
                reason: reason(),
            },
        ]
    }

    fn outcome(of: Result<Applied<MerchantState>, InvalidTransition>) -> String {
        match of {
            Ok(Applied::Now(state)) => state.kind().name().to_owned(),
            Ok(Applied::Before(_)) => "=".to_owned(),
            Err(_) => "-".to_owned(),
        }
    }

    /// The table of the slice's text, walked.
    #[test]
    fn every_state_answers_every_event() {
        let rows = states().map(|state| {
            format!(
                "{}: approve {}, approve as another {}, reject {}, suspend {}",
                state.kind().name(),
                outcome(state.clone().approve(number("1900000109"))),
                outcome(state.clone().approve(number("1900000999"))),
                outcome(state.clone().reject("x".to_owned())),
                outcome(state.suspend("x".to_owned())),
            )
        });
        let expected = "\
pending: approve approved, approve as another approved, reject rejected, suspend -
approved: approve =, approve as another -, reject -, suspend suspended
rejected: approve -, approve as another -, reject =, suspend -
suspended: approve -, approve as another -, reject -, suspend =";
        assert_eq!(rows.join("\n"), expected);
    }

    #[test]
    fn a_suspended_merchant_keeps_its_number_and_is_closed() {
        let [_, approved, ..] = states();
        let Ok(Applied::Now(suspended)) = approved.suspend("投诉".to_owned()) else {
            panic!()
        };
        assert_eq!(
            suspended.sub_mchid().map(SubMchid::as_str),
            Some("1900000109")
        );
        assert!(!suspended.is_open());
        assert_eq!(suspended.reason(), Some("投诉"));
    }

    #[test]
    fn states_keep_their_names() {
        for kind in MerchantStateKind::ALL {
            assert_eq!(MerchantStateKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_phone_number_is_shown_in_part() {
        assert_eq!(mask_phone("13800001234"), "138****1234");
        assert_eq!(mask_phone("12345"), "****");
        assert_eq!(mask_phone("０１２３４５６７８"), "０１２****５６７８");
    }
}
