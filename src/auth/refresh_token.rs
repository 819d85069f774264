//! Refresh tokens, whose they are, and the rows that are kept of them.

use aws_lc_rs::digest;

use crate::primitives::{CustomerId, Id, Secret, StaffId, TenantId, Timestamp, coded};

/// How long a login lasts after its last refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetime {
    pub seconds: i64,
}

impl Default for SessionLifetime {
    /// Thirty days.
    fn default() -> Self {
        Self {
            seconds: 30 * 24 * 3600,
        }
    }
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Customer(CustomerId),
    Staff(StaffId),
}

coded! {
    /// What kind of person a session belongs to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SubjectKind: Display {
        Customer => "customer",
        Staff => "staff",
    }
}

impl Subject {
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::Customer(_) => SubjectKind::Customer,
            Self::Staff(_) => SubjectKind::Staff,
        }
    }

    pub(super) const fn id(&self) -> Id {
        match self {
            Self::Customer(id) => id.id(),
            Self::Staff(id) => id.id(),
        }
    }
}

impl SubjectKind {
    /// What a token of this kind begins with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Customer => "zfc_",
            Self::Staff => "zfs_",
        }
    }
}

/// An opaque refresh token: the kind of its bearer and 256 random bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    kind: SubjectKind,
    text: Secret<String>,
}

impl RefreshToken {
    pub(super) fn mint(kind: SubjectKind, random: [u64; 4]) -> Self {
        let bytes: Vec<u8> = random.iter().flat_map(|word| word.to_be_bytes()).collect();
        Self {
            kind,
            text: Secret::new(format!("{}{}", kind.prefix(), hex::encode(bytes))),
        }
    }

    /// `None` for text that is no token of ours. The kind says which slice to ask; a lie about it
    /// finds nothing, since the prefix is hashed too.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = SubjectKind::ALL
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))?;
        let digits = &text[kind.prefix().len()..];
        let sound = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        sound.then(|| Self {
            kind,
            text: Secret::new(text.to_owned()),
        })
    }

    pub const fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// The text, for its bearer.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What is kept of it. Plain SHA-256 is enough for 256 random bits.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.expose().as_bytes()).as_ref());
        hash
    }
}

/// A row of `sessions`: one token, used or not.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: [u8; 16],
    pub(super) tenant: TenantId,
    pub(super) family: [u8; 16],
    pub(super) subject: Subject,
    pub(super) expires_at: Timestamp,
    pub(super) used_at: Option<Timestamp>,
    pub(super) revoked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is_and_is_read_back() {
        let token = RefreshToken::mint(SubjectKind::Staff, [1, 2, 3, u64::MAX]);
        assert_eq!(token.expose().len(), 68);
        assert_eq!(RefreshToken::parse(token.expose()).unwrap(), token);
        assert_eq!(token.kind(), SubjectKind::Staff);
        assert!(!format!("{token:?}").contains("zfs_"));

        let renamed = token.expose().replace("zfs_", "zfc_");
        assert_ne!(RefreshToken::parse(&renamed).unwrap().hash(), token.hash());
        for bad in ["", "zfs_", "zfs_00", "账房", &"0".repeat(68)] {
            assert_eq!(RefreshToken::parse(bad), None, "{bad}");
        }
    }
}
