//! What is wrong with the settings, all of it at once.

use std::fmt;

/// Every mistake, a sentence each. None of them quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl SettingsError {
    pub(super) const fn new(sentences: Vec<String>) -> Self {
        Self(sentences)
    }

    pub fn sentences(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "the settings have {} mistakes:", many.len())?;
                many.iter()
                    .try_for_each(|sentence| write!(f, "\n  - {sentence}"))
            }
        }
    }
}

impl std::error::Error for SettingsError {}
