//! Whose table is whose, and that SQL keeps to it as imports do.
//!
//! Each file of `migrations/` names the slice that owns its table. A slice writes its own tables
//! only; it reads its own and those of slices that stand above it in `src/lib.rs`, which it may
//! import too. `verify` reads everything: it is there to doubt what the slices say.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use zhangfang::db::MIGRATOR;

/// What a statement does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    Read,
    Write,
}

/// Statements that cross slices all the same: where, what they do with which table, and why.
const ACROSS: [(&str, Does, &str, &str); 5] = [
    (
        "points",
        Does::Read,
        "customers",
        "one statement says what of a command does not exist",
    ),
    (
        "points",
        Does::Read,
        "merchants",
        "one statement says what of a command does not exist; a customer's records name the merchant",
    ),
    (
        "points",
        Does::Read,
        "payment_orders",
        "one statement says what of a command does not exist; a customer's records name the payment",
    ),
    (
        "points",
        Does::Read,
        "refunds",
        "a customer's records name the payment that a refund is of",
    ),
    (
        "points",
        Does::Read,
        "tenants",
        "the tenant's row stands for the list of its rules, which is locked by it",
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Without comments of Rust, names of statements (`/* slice.verb */`) and the breaks of long texts.
fn statements(source: &str) -> String {
    let lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let joined: Vec<_> = lines
        .map(|line| line.trim().trim_end_matches('\\'))
        .collect();
    let joined = joined.join(" ");
    let mut text = String::new();
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        let plain = |letter: u8| letter.is_ascii_lowercase() || b" ._".contains(&letter);
        let named = after.split_once("*/");
        let named = named.filter(|(name, _)| name.bytes().all(plain));
        rest = named.map_or(after, |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// What a text does with which tables.
fn uses(text: &str, tables: &BTreeMap<String, String>) -> BTreeSet<(Does, String)> {
    let letter = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let words: Vec<_> = text.split(letter).filter(|word| !word.is_empty()).collect();
    let mut found = BTreeSet::new();
    let is_update = |place: usize| {
        // `UPDATE JSON_TABLE(..) j STRAIGHT_JOIN table t ON .. SET`: the set-wise update.
        let before = words[..place].iter().rev();
        let mut before = before.take_while(|word| !["SELECT", "INSERT", "DELETE"].contains(word));
        before.any(|word| *word == "UPDATE")
    };
    for (place, pair) in words.windows(2).enumerate() {
        let does = match pair[0] {
            "UPDATE" if place > 0 && words[place - 1] == "KEY" => continue,
            "INTO" | "UPDATE" => Does::Write,
            "FROM" if place > 0 && words[place - 1] == "DELETE" => Does::Write,
            "STRAIGHT_JOIN" if is_update(place) => Does::Write,
            "FROM" | "JOIN" | "STRAIGHT_JOIN" => Does::Read,
            _ => continue,
        };
        if tables.contains_key(pair[1]) {
            found.insert((does, pair[1].to_owned()));
        }
    }
    found
}

/// Each table with the slice that its file names.
fn owners() -> BTreeMap<String, String> {
    let of_table = |sql: &str| {
        let owner = sql.lines().find_map(|line| line.strip_prefix("-- owner: "));
        let made = sql.lines().find_map(|line| line.strip_prefix("CREATE "));
        let name = made.and_then(|made| made.split(' ').nth(1));
        name.map(str::to_owned).zip(owner.map(str::to_owned))
    };
    let tables = MIGRATOR.iter().map(|file| of_table(file.sql.as_str()));
    tables.map(Option::unwrap).collect()
}

#[test]
fn a_slice_writes_its_own_tables_and_reads_those_of_slices_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = std::fs::read_to_string(src.join("lib.rs")).unwrap();
    let modules: Vec<_> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let place = |slice: &str| {
        let place = modules.iter().position(|module| *module == slice);
        place.unwrap_or_else(|| panic!("src/lib.rs has no module {slice}"))
    };
    let owners = owners();
    assert!(owners.len() > 40, "{owners:?}");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut needless: BTreeSet<_> = ACROSS
        .iter()
        .map(|across| (across.0, across.1, across.2))
        .collect();
    let mut unowned: BTreeSet<_> = owners.keys().cloned().collect();
    let mut wrong = Vec::new();
    for file in files {
        let within = file.strip_prefix(&src).unwrap();
        let slice = within.iter().next().unwrap().to_str().unwrap();
        let slice = slice.trim_end_matches(".rs");
        let text = statements(&std::fs::read_to_string(&file).unwrap());
        for (does, table) in uses(&text, &owners) {
            let owner = &owners[&table];
            unowned.remove(&table);
            let allowed = match does {
                Does::Read => slice == "verify" || place(owner) <= place(slice),
                Does::Write => owner == slice,
            };
            let across = ACROSS
                .iter()
                .find(|across| (across.0, across.1, across.2) == (slice, does, &*table));
            if let Some(across) = across.filter(|_| !allowed) {
                needless.remove(&(across.0, across.1, across.2));
            } else if !allowed {
                wrong.push(format!(
                    "{}: {does:?} {table}, which {owner} owns",
                    within.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        needless.is_empty(),
        "nobody does this any more: {needless:?}"
    );
    // The views are for people.
    unowned.retain(|table| !["postings", "points_records"].contains(&&**table));
    assert!(unowned.is_empty(), "no statement names these: {unowned:?}");
}

#[test]
fn what_statements_do_is_read_from_their_text() {
    let tables = ["orders", "refunds", "lots"].map(|table| (table.to_owned(), "x".to_owned()));
    let tables = BTreeMap::from(tables);
    let found = |source: &str| {
        uses(&statements(source), &tables)
            .into_iter()
            .collect::<Vec<_>>()
    };
    let read = |table: &str| (Does::Read, table.to_owned());
    let write = |table: &str| (Does::Write, table.to_owned());
    assert_eq!(
        found("q(\"SELECT /* x.y */ id FROM orders o \\\n   LEFT JOIN refunds r ON 1\")"),
        [read("orders"), read("refunds")]
    );
    assert_eq!(
        found("\"INSERT /* x.y */ INTO lots (a) SELECT b FROM orders\""),
        [read("orders"), write("lots")]
    );
    assert_eq!(
        found("\"DELETE /* x.y */ FROM lots WHERE a\""),
        [write("lots")]
    );
    assert_eq!(
        found("\"UPDATE /* x.y */ JSON_TABLE('[]') j STRAIGHT_JOIN lots l ON 1 SET l.a = 1\""),
        [write("lots")]
    );
    assert_eq!(
        found("\"SELECT 1 FROM j STRAIGHT_JOIN lots l\""),
        [read("lots")]
    );
    assert_eq!(
        found("\"INSERT INTO lots (a) VALUES (1) ON DUPLICATE KEY UPDATE refunds = 1\""),
        [write("lots")]
    );
    assert_eq!(
        found("// FROM orders\n\"SELECT a FROM orders_seen FOR UPDATE\""),
        []
    );
    assert_eq!(
        found("\"text/*\"; \"UPDATE orders SET a = 1\""),
        [write("orders")]
    );
}
