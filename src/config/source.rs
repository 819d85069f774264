//! Where settings are read from.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// The environment, and the file under it.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub(super) variables: Variables,
    /// A TOML file; what the environment says goes over it.
    pub(super) file: Option<PathBuf>,
}

/// Names and values. They hold secrets, so only the names are printed.
#[derive(Clone, Default)]
pub(super) struct Variables(pub(super) BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Names without our prefix.
pub(super) const FOREIGN: [(&str, &str, &str); 3] = [
    ("DATABASE_URL", "database", "url"),
    ("DATABASE_MIGRATION_URL", "database", "migration_url"),
    ("REDIS_URL", "redis", "url"),
];

pub(super) const PREFIX: &str = "ZHANGFANG_";

/// Names the file; everything else is in the file or beside it.
const FILE: &str = "ZHANGFANG_CONFIG";

impl Source {
    /// This process's environment. `file` is what the command line says; without it
    /// `ZHANGFANG_CONFIG` names the file, if any.
    pub fn environment(file: Option<PathBuf>) -> Self {
        let text = |part: OsString| part.into_string().ok();
        let ours = |name: &String| {
            name.starts_with(PREFIX) || FOREIGN.iter().any(|(foreign, ..)| name == foreign)
        };
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((text(name)?, value)))
            .filter(|(name, _)| ours(name))
            // One that is not Unicode is kept as something that no check accepts.
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self::new(variables, file)
    }

    /// Given variables, for tests.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self::new(variables.into_iter().map(owned).collect(), None)
    }

    fn new(mut variables: BTreeMap<String, String>, file: Option<PathBuf>) -> Self {
        variables.retain(|_, value| !value.is_empty());
        let named = variables.remove(FILE).map(PathBuf::from);
        Self {
            variables: Variables(variables),
            file: file.or(named),
        }
    }
}
