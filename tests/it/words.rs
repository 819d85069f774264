//! One language: words that `docs/glossary.md` has retired do not come back, and the files that it
//! names are there.
//!
//! The page is the only list. A line under *Retired words* reads ``- `pattern` → word``, or ``-
//! `pattern`, not `pattern` → word``: what the second pattern finds is taken out before the first
//! one looks. Lines of prose are joined first, so a term may be broken over two lines.

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

const GLOSSARY: &str = "docs/glossary.md";

/// Everything that people write here. Left out are the page itself and what WeChat wrote.
const ROOTS: [&str; 18] = [
    "src",
    "simulator",
    "demo",
    "tests",
    "benches",
    "fuzz",
    "migrations",
    "docs",
    "deploy",
    ".ci",
    "Cargo.toml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "risk-rules.yaml",
    "dev",
    ".clippy.toml",
];
const LEFT_OUT: [&str; 5] = [
    GLOSSARY,
    "docs/wechat-pay.md",
    "fuzz/seeds",
    "testdata",
    "target",
];

struct Retired {
    pattern: Regex,
    not: Option<Regex>,
    word: String,
}

#[test]
fn retired_words_do_not_come_back() {
    let retired = retired(&fs::read_to_string(root().join(GLOSSARY)).unwrap());
    assert!(retired.len() > 20, "the list was not read");
    let mut found = Vec::new();
    for file in files() {
        // Pictures and the like.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        found.extend(found_in(&name, &text, &retired));
    }
    assert!(
        found.is_empty(),
        "{} retired words, see {GLOSSARY}:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn files_that_the_glossary_names_are_there() {
    let page = fs::read_to_string(root().join(GLOSSARY)).unwrap();
    let path = Regex::new(r"`([a-z_]+(?:/[a-z_]+)*\.(?:rs|yaml))`").unwrap();
    let missing: Vec<_> = path
        .captures_iter(&page)
        .map(|found| found[1].to_owned())
        .filter(|name| !root().join(name).exists() && !root().join("src").join(name).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What is looked at is looked at as the page says.
#[test]
fn a_pattern_finds_words_across_lines_and_spares_what_it_says() {
    let list = retired("## Retired words\n\n- `\\bold name\\b`, not `very old name` → new name\n");
    let text = "fn first() {}\n// an old\n    /// name, a very\n// old name\n";
    assert_eq!(
        found_in("a.rs", text, &list),
        ["a.rs:2: `old name` → new name"]
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn retired(page: &str) -> Vec<Retired> {
    let (_, list) = page.split_once("## Retired words").unwrap();
    let line = Regex::new(r"^- `([^`]+)`(?:, not `([^`]+)`)? → (.+)$").unwrap();
    list.lines()
        .filter(|text| text.starts_with("- "))
        .map(|text| {
            let parts = line
                .captures(text)
                .unwrap_or_else(|| panic!("not of the form: {text}"));
            Retired {
                pattern: Regex::new(&parts[1]).unwrap(),
                not: parts.get(2).map(|not| Regex::new(not.as_str()).unwrap()),
                word: parts[3].to_owned(),
            }
        })
        .collect()
}

fn found_in(name: &str, text: &str, retired: &[Retired]) -> Vec<String> {
    let joined = Joined::of(text);
    let mut found = Vec::new();
    for one in retired {
        let spared = one.not.as_ref().map(|not| {
            let same_length = |part: &regex::Captures<'_>| "\0".repeat(part[0].len());
            not.replace_all(&joined.text, same_length).into_owned()
        });
        for hit in one
            .pattern
            .find_iter(spared.as_deref().unwrap_or(&joined.text))
        {
            let (line, word) = (joined.line_of(hit.start()), hit.as_str());
            found.push(format!("{name}:{line}: `{word}` → {}", one.word));
        }
    }
    found
}

/// A text whose lines follow each other with a blank between, without the marks of comments.
struct Joined {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Joined {
    fn of(text: &str) -> Self {
        let mark = Regex::new(r"^\s*(?://[/!]?|#+!?|--|\*)?\s*").unwrap();
        let (mut joined, mut lines) = (String::with_capacity(text.len()), Vec::new());
        for line in text.lines() {
            lines.push(joined.len());
            joined.push_str(mark.replace(line, "").trim_end());
            joined.push(' ');
        }
        Self {
            text: joined,
            lines,
        }
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at)
    }
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in ROOTS {
        let path = root().join(name);
        if path.exists() {
            walk(&path, &mut found);
        }
    }
    found.sort();
    found
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    if LEFT_OUT.iter().any(|name| path.ends_with(name)) {
        return;
    }
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        walk(&entry.unwrap().path(), found);
    }
}
