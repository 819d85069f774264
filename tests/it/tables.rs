//! Whose table is whose, and that SQL keeps to it as imports do; and that reads name their tenant.
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

/// Reads that no rule below lets through, and why they may do without a tenant.
const OF_ANY_TENANT: [(&str, &str); 7] = [
    (
        "auth.lock_session",
        "a refresh token is all that is sent; the row says whose it is",
    ),
    (
        "payments.known_orders",
        "one statement for callbacks of all tenants at once; who settles compares the tenant",
    ),
    (
        "payments.watch_boundary",
        "a scan over all orders by time, which says how far it may go",
    ),
    (
        "payments.sweep_boundary",
        "a scan over all orders by time, which says how far it may go",
    ),
    (
        "payments.find_points_parties",
        "one row in any case: each table is joined by id and tenant",
    ),
    (
        "points.first_expiry",
        "a job claims the oldest run of all tenants",
    ),
    ("points.leased_expiry", "there is one lease for all tenants"),
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
    let is_update = |index: usize| {
        // `UPDATE JSON_TABLE(..) j STRAIGHT_JOIN table t ON .. SET`: the set-wise update.
        let before = words[..index].iter().rev();
        let mut before = before.take_while(|word| !["SELECT", "INSERT", "DELETE"].contains(word));
        before.any(|word| *word == "UPDATE")
    };
    for (index, pair) in words.windows(2).enumerate() {
        let does = match pair[0] {
            "UPDATE" if index > 0 && words[index - 1] == "KEY" => continue,
            "INTO" | "UPDATE" => Does::Write,
            "FROM" if index > 0 && words[index - 1] == "DELETE" => Does::Write,
            "STRAIGHT_JOIN" if is_update(index) => Does::Write,
            "FROM" | "JOIN" | "STRAIGHT_JOIN" => Does::Read,
            _ => continue,
        };
        if tables.contains_key(pair[1]) {
            found.insert((does, pair[1].to_owned()));
        }
    }
    found
}

/// The named `SELECT`s of a source, each with its text as far as the next statement or function.
fn named_selects(source: &str) -> Vec<(String, String)> {
    let lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let joined: Vec<_> = lines
        .map(|line| line.trim().trim_end_matches('\\'))
        .collect();
    let joined = joined.join(" ");
    let mut found = Vec::new();
    for function in joined.split("fn ") {
        let mut rest = function;
        while let Some((before, after)) = rest.split_once("/* ") {
            let Some((name, after)) = after.split_once(" */") else {
                break;
            };
            rest = after;
            let not_letter = |letter: char| !letter.is_ascii_alphabetic();
            let verb = before.trim_end().rsplit(not_letter).next();
            let text = after.split_once("/* ").map_or(after, |(text, _)| text);
            if verb == Some("SELECT") || text.trim_start().starts_with("SELECT ") {
                found.push((name.to_owned(), text.to_owned()));
            }
        }
    }
    found
}

/// Whether the condition of a statement compares the tenant.
fn names_the_tenant(text: &str) -> bool {
    let condition = text.split_once("WHERE ").map_or("", |(_, after)| after);
    condition.contains("tenant_id = ") || condition.contains("tenant_id IN (")
}

/// Tables whose rows say which tenant's they are.
fn tables_of_tenants() -> BTreeMap<String, String> {
    let of_file = |sql: &str| {
        let made = sql
            .lines()
            .find_map(|line| line.strip_prefix("CREATE TABLE "))?;
        let name = made.split(' ').next()?.to_owned();
        let column = |line: &str| line.trim_start().starts_with("tenant_id ");
        sql.lines().any(column).then_some((name, String::new()))
    };
    let tables = MIGRATOR.iter();
    tables
        .filter_map(|file| of_file(file.sql.as_str()))
        .collect()
}

/// A caller who forgets whose rows it reads is one that compiles, so the tenant stands in the
/// statement. Without it read:
/// - `verify`, which looks at everything;
/// - what an operation loads (`load_…`): by keys that it was told or has read, of rows that say
///   whose they are, and it compares;
/// - the claims of jobs, over all tenants by time;
/// - what says so in its name (`…_of_any_tenant`), and why in its function's text;
/// - [`OF_ANY_TENANT`].
#[test]
fn a_read_names_its_tenant() {
    let tables = tables_of_tenants();
    assert!(tables.len() > 35, "{tables:?}");
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut needless: BTreeSet<_> = OF_ANY_TENANT.iter().map(|read| read.0).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files {
        let within = file.strip_prefix(&src).unwrap();
        if within.starts_with("verify") {
            continue;
        }
        let source = std::fs::read_to_string(&file).unwrap();
        for (name, text) in named_selects(&source) {
            if uses(&text, &tables).is_empty() {
                continue;
            }
            seen += 1;
            let (_, verb) = name.split_once('.').unwrap();
            let may = verb.starts_with("load_")
                || verb.ends_with("_of_any_tenant")
                || text.contains("FOR UPDATE SKIP LOCKED");
            if names_the_tenant(&text) || may {
                continue;
            }
            if OF_ANY_TENANT.iter().any(|read| read.0 == name) {
                needless.remove(name.as_str());
            } else {
                wrong.push(format!("{}: {name}", within.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} statements were found");
    assert!(wrong.is_empty(), "these name no tenant: {wrong:#?}");
    assert!(needless.is_empty(), "these are not needed: {needless:?}");
}

#[test]
fn whether_a_statement_names_its_tenant_is_read_from_its_text() {
    let found = |source: &str| {
        let selects = named_selects(source).into_iter();
        let selects = selects.map(|(name, text)| (name, names_the_tenant(&text)));
        selects.collect::<Vec<_>>()
    };
    let said = |name: &str, names| vec![(name.to_owned(), names)];
    assert_eq!(
        found("\"SELECT /* a.b */ x FROM t \\\n  WHERE id = ? AND tenant_id = ?\""),
        said("a.b", true)
    );
    // Neither a column nor a join is a condition.
    assert_eq!(
        found(
            "\"/* a.b */ SELECT tenant_id FROM t JOIN u ON u.tenant_id = t.tenant_id WHERE t.id = ?\""
        ),
        said("a.b", false)
    );
    // What the next function says is not said here.
    assert_eq!(
        found("\"/* a.b */ SELECT x FROM t WHERE id = ?\"\nfn next() { \"WHERE tenant_id = ?\" }"),
        said("a.b", false)
    );
    assert_eq!(
        found("sql.push(\"SELECT /* a.b */ x FROM t WHERE id = \").push(\" AND t.tenant_id = \")"),
        said("a.b", true)
    );
    assert_eq!(found("\"UPDATE /* a.b */ t SET x = 1 WHERE id = ?\""), []);
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
    let index = |slice: &str| {
        let index = modules.iter().position(|module| *module == slice);
        index.unwrap_or_else(|| panic!("src/lib.rs has no module {slice}"))
    };
    let owners = owners();
    assert!(owners.len() > 40, "{owners:?}");
    let mut files = Vec::new();
    sources(&src, &mut files);
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
                Does::Read => slice == "verify" || index(owner) <= index(slice),
                Does::Write => owner == slice,
            };
            if !allowed {
                wrong.push(format!(
                    "{}: {does:?} {table}, which {owner} owns",
                    within.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
