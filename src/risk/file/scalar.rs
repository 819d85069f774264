//! Words, numbers, times and shares.

use std::ops::RangeInclusive;

use super::{
    fields::shown,
    mistake::Mistakes,
    node::{Node, NodeKind},
};
use crate::{primitives::Text, risk::rules::Window};

/// What a counter remembers at most: 90 days, and never less than ten seconds.
pub(super) const WITHIN: RangeInclusive<u32> = 10..=90 * 86_400;

/// A text is at most so long, in characters.
const TEXT_MAX: usize = 200;

impl Node {
    fn add_expected(&self, what: &str, mistakes: &mut Mistakes) {
        let noun = self.describe();
        mistakes.add(
            self.position,
            format!("{what} is needed, and this is {noun}"),
        );
    }

    /// Any text, also an empty one.
    pub(super) fn raw_text(&self, what: &str, mistakes: &mut Mistakes) -> Option<&str> {
        if let NodeKind::Text(text) = &self.kind {
            return Some(text);
        }
        self.add_expected(what, mistakes);
        None
    }

    /// A text for people: one line, not empty.
    pub(super) fn text(&self, what: &str, mistakes: &mut Mistakes) -> Option<String> {
        let text = self.raw_text(what, mistakes)?.trim();
        let length = text.chars().count();
        if !(1..=TEXT_MAX).contains(&length) || Text::hidden(text).is_some() {
            let most = format!("{what} is one line of 1 to {TEXT_MAX} characters");
            mistakes.add(self.position, most);
            return None;
        }
        Some(text.to_owned())
    }

    /// A name that the file gives to something: `a-z 0-9 _ -`, and a letter first.
    pub(super) fn name(&self, what: &str, mistakes: &mut Mistakes) -> Option<String> {
        let text = self.raw_text(what, mistakes)?;
        if is_name(text, true) {
            return Some(text.to_owned());
        }
        let shown = shown(text);
        mistakes.add(
            self.position,
            format!("{what} is 1 to 40 of a-z, 0-9, _ and -, with a letter first, and not {shown}"),
        );
        None
    }

    pub(super) fn boolean(&self, what: &str, mistakes: &mut Mistakes) -> Option<bool> {
        if let NodeKind::Bool(value) = self.kind {
            return Some(value);
        }
        self.add_expected(&format!("{what}: true or false"), mistakes);
        None
    }

    /// A whole number between two, both allowed.
    pub(super) fn number(
        &self,
        what: &str,
        range: &RangeInclusive<i64>,
        mistakes: &mut Mistakes,
    ) -> Option<i64> {
        let (least, most) = (range.start(), range.end());
        match &self.kind {
            NodeKind::Number(number) if range.contains(number) => return Some(*number),
            NodeKind::Number(number) => mistakes.add(
                self.position,
                format!("{what} is between {least} and {most}, and not {number}"),
            ),
            NodeKind::Text(text) if text.parse::<i64>().is_ok() => {
                mistakes.add(self.position, format!("{what} is a number: without quotes"));
            }
            NodeKind::OtherNumber => mistakes.add(
                self.position,
                format!("{what} is a whole number between {least} and {most}; money is in fen: ¥30.50 is 3050"),
            ),
            NodeKind::Nothing | NodeKind::Bool(_) | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Map(_) => self
                .add_expected(
                    &format!("{what}, a whole number between {least} and {most},"),
                    mistakes,
                ),
        }
        None
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &self,
        what: &str,
        words: &[(&str, T)],
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let known = || {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            words.join(", ")
        };
        let NodeKind::Text(text) = &self.kind else {
            self.add_expected(&format!("{what}, one of {},", known()), mistakes);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text);
        if found.is_none() {
            let shown = shown(text);
            mistakes.add(
                self.position,
                format!("{what} is one of {}, and not {shown}", known()),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// The items of a list that is not empty.
    pub(super) fn items(
        &self,
        what: &str,
        most: usize,
        mistakes: &mut Mistakes,
    ) -> Option<&[Self]> {
        let NodeKind::List(items) = &self.kind else {
            self.add_expected(&format!("{what}, a list such as [one, two],"), mistakes);
            return None;
        };
        if items.is_empty() {
            mistakes.add(self.position, format!("{what}: the list is empty"));
            return None;
        }
        if items.len() > most {
            let there = items.len();
            mistakes.add(
                self.position,
                format!("{what}: {there} are too many; {most} are the most"),
            );
            return None;
        }
        Some(items)
    }

    /// A length of time, such as `30s`, `15m`, `12h`, `7d`.
    pub(super) fn window(
        &self,
        what: &str,
        range: &RangeInclusive<u32>,
        mistakes: &mut Mistakes,
    ) -> Option<Window> {
        let NodeKind::Text(text) = &self.kind else {
            let add_expected = format!("{what}, a time with its unit such as 30s, 15m, 12h or 7d,");
            self.add_expected(&add_expected, mistakes);
            return None;
        };
        let Some(seconds) = seconds(text) else {
            let shown = shown(text);
            mistakes.add(
                self.position,
                format!("{what} is a whole number and s, m, h or d, such as 15m, and not {shown}"),
            );
            return None;
        };
        let (least, most) = (Window(*range.start()), Window(*range.end()));
        let found = u32::try_from(seconds)
            .ok()
            .filter(|seconds| range.contains(seconds));
        if found.is_none() {
            mistakes.add(
                self.position,
                format!(
                    "{what} is between {least} and {most}, and not {}",
                    shown(text)
                ),
            );
        }
        found.map(Window)
    }

    /// A share such as `25%`, from 1 to 100.
    pub(super) fn percent(&self, what: &str, mistakes: &mut Mistakes) -> Option<u8> {
        if let NodeKind::Text(text) = &self.kind
            && let Some(digits) = text.strip_suffix('%')
            && let Ok(percent @ 1..=100) = digits.parse::<u8>()
        {
            return Some(percent);
        }
        let shown = match &self.kind {
            NodeKind::Text(text) => shown(text),
            NodeKind::Number(number) => format!("{number} without %"),
            NodeKind::Nothing
            | NodeKind::Bool(_)
            | NodeKind::OtherNumber
            | NodeKind::List(_)
            | NodeKind::Map(_) => self.describe().to_owned(),
        };
        mistakes.add(
            self.position,
            format!("{what} is a share from 1% to 100%, such as 25%, and not {shown}"),
        );
        None
    }

    /// A time of day such as `22:30`, in minutes since midnight; `24:00` is the end of the day.
    pub(super) fn time_of_day(&self, what: &str, mistakes: &mut Mistakes) -> Option<u16> {
        if let NodeKind::Text(text) = &self.kind
            && let Some((hours, minutes)) = text.split_once(':')
            && text.len() == 5
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b':')
            && let (Ok(hours @ 0..=24), Ok(minutes @ 0..=59)) = (hours.parse(), minutes.parse())
        {
            let at: u16 = hours * 60 + minutes;
            if at <= 24 * 60 {
                return Some(at);
            }
        }
        mistakes.add(
            self.position,
            format!(
                "{what} is a time of day between 00:00 and 24:00, such as 09:30 (two digits each)"
            ),
        );
        None
    }
}

pub(super) fn is_name(text: &str, dashes: bool) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || byte == b'_'
            || (dashes && byte == b'-')
    };
    (1..=40).contains(&text.len())
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
        && text.bytes().all(inner)
}

fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let length: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number that does not fit is a time that is too long.
    Some(digits.parse().unwrap_or(u64::MAX).saturating_mul(length))
}
