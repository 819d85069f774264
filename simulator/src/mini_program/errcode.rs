//! What goes wrong with a call of the mini-program's server API.

/// An `errcode` and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errcode(pub(super) i64, pub(super) String);

impl Errcode {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self(code, message.into())
    }

    pub(super) fn malformed() -> Self {
        Self::new(47001, "data format error")
    }
}
