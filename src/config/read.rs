//! Reading one concern after the other and collecting every mistake on the way.

use std::{
    collections::BTreeMap, fmt::Display, fs, ops::RangeInclusive, path::Path, path::PathBuf,
    str::FromStr,
};

use config::{Config, Environment, File, FileFormat, Map, Value, ValueKind};
use url::Url;

use super::{
    GROUPS, SettingsError,
    source::{FOREIGN, PREFIX, Source},
};
use crate::primitives::Secret;

/// One group of settings.
pub(super) trait SettingsGroup: Sized {
    /// Lower case, as in the file.
    const SECTION: &'static str;
    /// Every key that [`SettingsGroup::read`] asks for.
    const KEYS: &'static [&'static str];

    /// Asks for every key, whatever is wrong with the others; `None` only after a mistake was
    /// noted.
    fn read(from: &mut Section<'_>) -> Option<Self>;
}

/// All that was given, as text, by dotted key; and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader {
    values: BTreeMap<String, String>,
    mistakes: Vec<String>,
    /// The file of one concern alone, when that is what is read: mistakes name it, and paths in it
    /// begin beside it.
    standalone: Option<PathBuf>,
}

impl Reader {
    pub(super) fn open(source: &Source) -> Self {
        let mut reader = Self {
            values: BTreeMap::new(),
            mistakes: Vec::new(),
            standalone: None,
        };
        match merged(source) {
            Ok(table) => reader.flatten("", table),
            Err(sentence) => reader.mistakes.push(sentence),
        }
        reader.refuse_unknown(source);
        reader
    }

    /// One concern from a TOML file of its own, without the environment. What the file does not
    /// say, `inherited` does: key, value, and another key whose presence in the file keeps it out.
    pub(super) fn standalone<C: SettingsGroup>(
        path: &Path,
        inherited: &[(&str, String, &str)],
    ) -> Self {
        let mut reader = Self {
            values: BTreeMap::new(),
            mistakes: Vec::new(),
            standalone: Some(path.to_owned()),
        };
        let shown = path.display();
        let table = fs::read_to_string(path)
            .map_err(|error| format!("The settings file {shown} cannot be read: {error}."))
            .and_then(|text| {
                let file = Config::builder().add_source(File::from_str(&text, FileFormat::Toml));
                let table = file.build().and_then(Config::try_deserialize);
                // The parser's own words quote the line, which may hold a secret.
                table.map_err(|_| format!("The settings file {shown} is not TOML."))
            });
        match table {
            Ok(table) => reader.flatten(C::SECTION, table),
            Err(sentence) => reader.mistakes.push(sentence),
        }
        let prefix = format!("{}.", C::SECTION);
        let unknown = |key: &&String| {
            let key = key.strip_prefix(&prefix).unwrap_or(key);
            !C::KEYS.contains(&key)
        };
        let unknown: Vec<_> = reader.values.keys().filter(unknown).cloned().collect();
        for key in unknown {
            let name = reader.name_of(&key);
            reader.mistakes.push(format!("{name} is not a setting."));
        }
        let own: Vec<_> = reader.values.keys().cloned().collect();
        for (key, value, unless) in inherited {
            let (key, unless) = (format!("{prefix}{key}"), format!("{prefix}{unless}"));
            if !own.contains(&key) && !own.contains(&unless) {
                reader.values.insert(key, value.clone());
            }
        }
        reader
    }

    /// What the operator knows a dotted key by.
    fn name_of(&self, key: &str) -> String {
        match &self.standalone {
            Some(path) => {
                let (_, key) = key.split_once('.').unwrap_or(("", key));
                format!("`{key}` in {}", path.display())
            }
            None => variable(key),
        }
    }

    pub(super) fn read<C: SettingsGroup>(&mut self) -> Option<C> {
        C::read(&mut Section {
            reader: self,
            name: C::SECTION,
            keys: C::KEYS,
        })
    }

    /// The whole, unless anything at all was wrong.
    pub(super) fn finish<T>(self, whole: impl FnOnce() -> Option<T>) -> Result<T, SettingsError> {
        match whole() {
            Some(whole) if self.mistakes.is_empty() => Ok(whole),
            Some(_) | None => Err(SettingsError::new(self.mistakes)),
        }
    }

    fn flatten(&mut self, prefix: &str, table: Map<String, Value>) {
        for (key, value) in table {
            let key = if prefix.is_empty() {
                key
            } else {
                format!("{prefix}.{key}")
            };
            if let ValueKind::Table(inner) = value.kind {
                self.flatten(&key, inner);
            } else if let Ok(text) = value.into_string() {
                self.values.insert(key, text);
            } else {
                let name = self.name_of(&key);
                self.mistakes.push(format!("{name} must be one value."));
            }
        }
    }

    fn refuse_unknown(&mut self, source: &Source) {
        let settings: Vec<String> = GROUPS
            .iter()
            .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
            .collect();
        for key in self.values.keys().filter(|key| !settings.contains(key)) {
            let section = key.split('.').next().unwrap_or_default();
            let known = GROUPS.iter().find(|(name, _)| *name == section);
            self.mistakes.push(match known {
                Some((_, keys)) => {
                    let names: Vec<_> = keys
                        .iter()
                        .map(|key| variable(&format!("{section}.{key}")))
                        .collect();
                    format!(
                        "{} is not a setting; there are {}.",
                        variable(key),
                        names.join(", ")
                    )
                }
                None => format!("{} is not a setting.", variable(key)),
            });
        }
        // ZHANGFANG_HTTP_LISTEN, which somebody will otherwise search for long.
        let plain = |name: &str| name.replace('_', "");
        for given in source
            .variables
            .0
            .keys()
            .filter(|name| !name.contains("__"))
        {
            let meant = settings.iter().map(|key| variable(key)).find(|name| {
                name.starts_with(PREFIX) && name != given && plain(name) == plain(given)
            });
            if let Some(meant) = meant {
                self.mistakes
                    .push(format!("{given} is not a setting; {meant} is."));
            }
        }
    }
}

/// The environment over the file.
fn merged(source: &Source) -> Result<Map<String, Value>, String> {
    let mut builder = Config::builder();
    if let Some(path) = &source.file {
        let text = fs::read_to_string(path).map_err(|error| {
            format!(
                "The settings file {} cannot be read: {error}.",
                path.display()
            )
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let ours = |(name, _): &(&String, &String)| name.starts_with(PREFIX) && name.contains("__");
    let variables = source.variables.0.iter().filter(ours);
    builder = builder.add_source(
        Environment::with_prefix(PREFIX.trim_end_matches('_'))
            .prefix_separator("_")
            .separator("__")
            .source(Some(
                variables.map(|(k, v)| (k.clone(), v.clone())).collect(),
            )),
    );
    for (name, section, key) in FOREIGN {
        let value = source.variables.0.get(name).cloned();
        builder = builder
            .set_override_option(format!("{section}.{key}"), value)
            .map_err(|error| format!("{name} cannot be read: {error}."))?;
    }
    let whole = builder
        .build()
        .and_then(Config::try_deserialize::<Map<String, Value>>);
    whole.map_err(|error| match &source.file {
        Some(path) => format!("The settings file {} is not TOML: {error}.", path.display()),
        None => format!("The environment cannot be read: {error}."),
    })
}

/// The variable that sets a dotted key.
fn variable(key: &str) -> String {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    match FOREIGN
        .iter()
        .find(|(_, its_section, its_key)| *its_section == section && *its_key == rest)
    {
        Some((name, ..)) => (*name).to_owned(),
        None => format!("{PREFIX}{}", key.replace('.', "__").to_uppercase()),
    }
}

/// One concern's part of what was given.
#[derive(Debug)]
pub(super) struct Section<'a> {
    reader: &'a mut Reader,
    name: &'static str,
    keys: &'static [&'static str],
}

impl Section<'_> {
    /// The name under which the operator knows the key.
    pub(super) fn variable(&self, key: &str) -> String {
        self.reader.name_of(&format!("{}.{key}", self.name))
    }

    /// A path as given, or beside the file that names it.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.given(key)?);
        let beside = self.reader.standalone.as_deref().and_then(Path::parent);
        Some(beside.map_or(path.clone(), |folder| folder.join(path)))
    }

    /// Notes that the key's value `is` something it must not be.
    pub(super) fn mistake(&mut self, key: &str, is: impl Display) {
        let sentence = format!("{} {is}.", self.variable(key));
        self.reader.mistakes.push(sentence);
    }

    pub(super) fn given(&self, key: &str) -> Option<String> {
        debug_assert!(
            self.keys.contains(&key),
            "{key} is not among the keys of {}",
            self.name
        );
        self.reader
            .values
            .get(&format!("{}.{key}", self.name))
            .cloned()
    }

    pub(super) fn required(&mut self, key: &str, what: &str) -> Option<String> {
        let given = self.given(key);
        if given.is_none() {
            self.mistake(key, format_args!("is required: {what}"));
        }
        given
    }

    /// The value, or the default when there is none; also after a mistake, so that reading goes on.
    pub(super) fn or<T: FromStr>(&mut self, key: &str, default: T, expected: &str) -> T {
        let Some(text) = self.given(key) else {
            return default;
        };
        text.trim().parse().unwrap_or_else(|_| {
            self.mistake(key, format_args!("is `{text}`, which is not {expected}"));
            default
        })
    }

    pub(super) fn number<T>(&mut self, key: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(text) = self.given(key) else {
            return default;
        };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                let (least, most) = (range.start(), range.end());
                self.mistake(
                    key,
                    format_args!("is `{text}`, which is not a whole number from {least} to {most}"),
                );
                default
            }
        }
    }

    /// What the file named by the key holds.
    pub(super) fn file(&mut self, key: &str) -> Option<String> {
        let path = self.path(key)?;
        match whole_file(&path) {
            Ok(text) => Some(text),
            Err(is) => {
                self.mistake(key, is);
                None
            }
        }
    }

    /// A secret from the file that `<key>_file` names, or from `<key>` itself. `Ok(None)` when
    /// neither is given.
    pub(super) fn secret(&mut self, key: &str) -> Result<Option<Secret<String>>, MistakeReported> {
        let by_file = format!("{key}_file");
        match (self.given(&by_file), self.given(key)) {
            (None, None) => Ok(None),
            (None, Some(text)) => Ok(Some(Secret::new(text.trim().to_owned()))),
            (Some(_), None) => self
                .file(&by_file)
                .map(|text| Some(Secret::new(text.trim().to_owned())))
                .ok_or(MistakeReported),
            (Some(_), Some(_)) => {
                let direct = self.variable(key);
                self.mistake(
                    &by_file,
                    format_args!("and {direct} are both set: set one of them"),
                );
                Err(MistakeReported)
            }
        }
    }

    pub(super) fn required_secret(&mut self, key: &str, what: &str) -> Option<Secret<String>> {
        let secret = self.secret(key).ok()?;
        if secret.is_none() {
            let direct = self.variable(key);
            self.mistake(
                &format!("{key}_file"),
                format_args!("or {direct} is required: {what}"),
            );
        }
        secret
    }

    /// An address that nobody can listen in on: https, or on this very machine if that is allowed.
    pub(super) fn address(&mut self, key: &str, text: &str, loopback_http: bool) -> Option<Url> {
        let Ok(url) = Url::parse(text.trim()) else {
            self.mistake(key, format_args!("is `{text}`, which is not a URL"));
            return None;
        };
        let plain_host = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain_host {
            self.mistake(
                key,
                "must be a bare address, without user, query or fragment",
            );
            return None;
        }
        match url.scheme() {
            "https" => Some(url),
            "http" if is_loopback(&url) && loopback_http => Some(url),
            "http" if is_loopback(&url) => {
                self.mistake(key, format_args!(
                    "is `{text}`, which is not https; on this machine http works with ZHANGFANG_WECHAT__ALLOW_LOOPBACK_HTTP=true"
                ));
                None
            }
            _ => {
                self.mistake(key, format_args!("is `{text}`, which is not https"));
                None
            }
        }
    }
}

/// What a file holds, or what is wrong with it, as the rest of a sentence about the setting that
/// names it.
pub(super) fn whole_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(format!("names {shown}, which is empty")),
        Ok(text) => Ok(text),
        Err(error) => Err(format!("names {shown}, which cannot be read: {error}")),
    }
}

/// A mistake has been noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct MistakeReported;

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
