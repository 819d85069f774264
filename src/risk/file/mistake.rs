//! The mistakes of a rule file and their positions.

use std::fmt;

use serde::Serialize;

/// A place in the file's text, as editors count it: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Mistake {
    #[serde(flatten)]
    pub position: Position,
    /// The `id` of the rule that it is in, if it is in one that has an id.
    pub rule: Option<String>,
    /// What is wrong and what would be right: a sentence for whoever wrote the file.
    pub what: String,
}

impl fmt::Display for Mistake {
    /// `12:5: rule many-payments: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.position.line, self.position.column)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Everything that is wrong with a file, in the order of the file; at least one, at most
/// [`RuleFileErrors::MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFileErrors(Vec<Mistake>);

impl RuleFileErrors {
    /// As many mistakes are told at once; with the last the reading ends.
    pub const MAX: usize = 100;

    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for RuleFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleFileErrors {}

/// Collects mistakes while a file is read: reading goes on after one, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: Vec<Mistake>,
    /// The rule that is being read.
    rule: Option<String>,
}

impl Mistakes {
    /// From here on mistakes are this rule's.
    pub(super) fn in_rule(&mut self, rule: Option<String>) {
        self.rule = rule;
    }

    pub(super) fn add(&mut self, position: Position, what: impl Into<String>) {
        if self.found.len() < RuleFileErrors::MAX {
            self.found.push(Mistake {
                position,
                rule: self.rule.clone(),
                what: what.into(),
            });
        }
    }

    /// The value, if nothing was wrong.
    pub(super) fn settle<T>(mut self, value: Option<T>) -> Result<T, RuleFileErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            Some(_) | None => {
                self.found.sort_by_key(|mistake| mistake.position);
                Err(RuleFileErrors(self.found))
            }
        }
    }
}

impl From<Mistake> for RuleFileErrors {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}
