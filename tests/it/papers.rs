//! What the papers say of the code, held against the code: sections, the order of locks, endpoints,
//! settings, links.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use zhangfang::ledger::AccountKind;

use crate::harness::document;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files below a folder whose names end so, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|kind| kind == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_section_that_a_comment_names_is_in_the_wechat_page() {
    let page = read("docs/wechat-pay.md");
    let anchor = Regex::new(r#"<a id="([0-9.]+)"></a>"#).unwrap();
    let there: BTreeSet<String> = anchor
        .captures_iter(&page)
        .map(|found| found[1].to_owned())
        .collect();
    let section = Regex::new("§([0-9]+(?:\\.[0-9]+)?)").unwrap();
    let mut named = 0;
    for file in files(&root().join("src"), "rs") {
        let source = fs::read_to_string(&file).unwrap();
        for found in section.captures_iter(&source) {
            named += 1;
            let number = &found[1];
            assert!(there.contains(number), "{}: §{number}", file.display());
        }
    }
    assert!(named > 50, "{named}");
}

#[test]
fn the_lock_order_of_the_docs_is_that_of_the_code() {
    let row_set = Regex::new(r"impl RowSet for (\w+) \{(?s:.*?)const LOCK_ORDER: u8 = (\d+);");
    let row_set = row_set.unwrap();
    let mut code = BTreeSet::new();
    for file in files(&root().join("src"), "rs") {
        let source = fs::read_to_string(file).unwrap();
        for found in row_set.captures_iter(&source) {
            code.insert((found[2].parse::<u8>().unwrap(), found[1].to_owned()));
        }
    }
    assert!(code.len() > 20, "{code:?}");
    let page = read("docs/architecture.md");
    let (_, after) = page.split_once("\n## Lock order\n").unwrap();
    let list = after.split("\n## ").next().unwrap();
    let line = Regex::new(r"(?m)^\| (\d+) \| `(\w+)` \|").unwrap();
    let docs: BTreeSet<_> = line
        .captures_iter(list)
        .map(|found| (found[1].parse::<u8>().unwrap(), found[2].to_owned()))
        .collect();
    assert_eq!(docs, code);
}

#[test]
fn the_chart_of_accounts_in_the_glossary_is_that_of_the_code() {
    let code: Vec<String> = AccountKind::ALL
        .into_iter()
        .map(|kind| {
            let line = kind.chart_line();
            let constrained = if line.constrained { "yes" } else { "" };
            format!(
                "`{}` | {:#04x} | {} | {} | {} | {constrained}",
                kind.name(),
                kind.code(),
                line.asset.name(),
                line.owner.name(),
                line.normal_side.name()
            )
        })
        .collect();
    let page = read("docs/glossary.md");
    let (_, after) = page.split_once("\nThe chart of accounts").unwrap();
    let table = after.split("\n\n").nth(1).unwrap();
    let docs: Vec<String> = table
        .lines()
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert!(!cells[1].is_empty() && !cells[7].is_empty(), "{line}");
            [&cells[..1], &cells[2..7]].concat().join(" | ")
        })
        .collect();
    assert_eq!(docs, code);
}

/// The modules of the crate that a source names, but for its tests.
fn known_modules(source: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<_> = source.lines().filter(is_code).collect();
    let code = code.join("\n");
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap();
    let (name, within) = (r"^\s*(\w+)", Regex::new(r"\{[^{}]*\}").unwrap());
    let name = Regex::new(name).unwrap();
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        // `crate::{a::b, c::{d, e}}` names a and c.
        let mut items = after.strip_prefix('{').unwrap_or(after).to_owned();
        while within.is_match(&items) {
            items = within.replace_all(&items, "").into_owned();
        }
        let is_group = after.starts_with('{');
        let items = items.split('}').next().unwrap().split(',');
        for item in items.take(if is_group { usize::MAX } else { 1 }) {
            found.extend(name.captures(item).map(|found| found[1].to_owned()));
        }
    }
    found
}

#[test]
fn the_map_says_which_modules_each_knows() {
    let sources = root().join("src");
    let mut code: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(&sources, "rs") {
        let within = file.strip_prefix(&sources).unwrap();
        let is_test = |part: &str| part.contains("tests") || part == "fixture.rs";
        let mut parts = within.iter().map(|part| part.to_str().unwrap());
        if parts.clone().any(is_test) {
            continue;
        }
        let module = parts.next().unwrap().trim_end_matches(".rs").to_owned();
        let known = known_modules(&fs::read_to_string(&file).unwrap());
        code.entry(module).or_default().extend(known);
    }
    let page = read("docs/architecture.md");
    let (_, after) = page.split_once("| knows, beside `primitives` |\n").unwrap();
    let table = after.split("\n\n").next().unwrap();
    let word = Regex::new("`([a-z]+)`").unwrap();
    let mut above: Vec<String> = Vec::new();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let module = cells[0].trim_matches('`');
        let said: Vec<_> = word
            .captures_iter(cells[2])
            .map(|word| word.get(1).unwrap().as_str())
            .collect();
        let known = &code[module];
        let known = above.iter().filter(|name| known.contains(*name));
        let known: Vec<_> = known.filter(|name| *name != "primitives").collect();
        assert_eq!(said, known, "{module} knows these");
        above.push(module.to_owned());
        let below: Vec<_> = code[module]
            .iter()
            .filter(|name| code.contains_key(*name) && !above.contains(*name))
            .collect();
        assert!(
            below.is_empty(),
            "{module} knows {below:?}, which stand below it"
        );
    }
    let modules = read("src/lib.rs").matches("\npub mod ").count();
    assert_eq!(above.len(), modules);
}

#[test]
fn the_modules_that_a_source_knows_are_read_from_its_text() {
    let known = |source| known_modules(source).into_iter().collect::<Vec<_>>();
    let group =
        "use crate::{\n    db::{Db, sql::{Sql}},\n    // points,\n    ledger,\n};\nfn f() {}";
    assert_eq!(known(group), ["db", "ledger"]);
    assert_eq!(known("let x = crate::app::App { a, b };"), ["app"]);
    assert_eq!(known("//! [`crate::http`]\nuse super::x;"), [""; 0]);
    let tests = "use crate::db;\n#[cfg(test)]\nmod tests {\n    use crate::http;\n}";
    assert_eq!(known(tests), ["db"]);
}

#[test]
fn every_endpoint_is_in_the_api_page() {
    let mut code = BTreeSet::new();
    for (path, operations) in document().whole()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].to_string();
            let key = if parameters.contains("Idempotency-Key") {
                "yes"
            } else {
                ""
            };
            let (method, summary) = (method.to_uppercase(), operation["summary"].as_str());
            code.insert(format!(
                "| `{method} {path}` | {key} | {} |",
                summary.unwrap_or_default()
            ));
        }
    }
    let page = read("docs/api.md");
    let (_, list) = page.split_once("<!-- endpoints").unwrap();
    let line = Regex::new(r"(?m)^\| `[A-Z]+ /[^`]*` \|.*$").unwrap();
    let docs: BTreeSet<_> = line
        .find_iter(list)
        .map(|found| found.as_str().to_owned())
        .collect();
    let not_said: Vec<_> = code.difference(&docs).map(String::as_str).collect();
    let not_there: Vec<_> = docs.difference(&code).map(String::as_str).collect();
    assert!(
        not_said.is_empty() && not_there.is_empty(),
        "not in docs/api.md:\n{}\nthere, and in no document:\n{}",
        not_said.join("\n"),
        not_there.join("\n")
    );
}

#[test]
fn every_setting_is_in_the_configuration_page() {
    let concern = Regex::new(
        r#"const SECTION: &'static str = "(\w+)";(?s:.*?)const KEYS: &'static \[&'static str\] = &\[([^\]]*)\];"#,
    )
    .unwrap();
    let word = Regex::new(r#""(\w+)""#).unwrap();
    let mut code = BTreeSet::new();
    for file in files(&root().join("src/config"), "rs") {
        let source = fs::read_to_string(file).unwrap();
        for found in concern.captures_iter(&source) {
            let section = found[1].to_uppercase();
            for key in word.captures_iter(&found[2]) {
                code.insert(format!("ZHANGFANG_{section}__{}", key[1].to_uppercase()));
            }
        }
    }
    assert!(code.len() > 50, "{code:?}");
    let page = read("docs/configuration.md");
    let variable = Regex::new("ZHANGFANG_[A-Z]+__[A-Z][A-Z0-9_]*").unwrap();
    let docs: BTreeSet<_> = variable
        .find_iter(&page)
        .map(|found| found.as_str().to_owned())
        .collect();
    let not_there: Vec<_> = docs.difference(&code).collect();
    assert!(not_there.is_empty(), "{not_there:?}");
    let is_said = |name: &str| {
        let (section, key) = name.split_once("__").unwrap();
        // Secrets have a second name; limits have a table of their own; these three have names that
        // others know, too.
        let limit =
            section == "ZHANGFANG_LIMITS" && page.contains(&format!("`{}`", key.to_lowercase()));
        let others = match name {
            "ZHANGFANG_DATABASE__URL" => page.contains("`DATABASE_URL`"),
            "ZHANGFANG_DATABASE__MIGRATION_URL" => page.contains("`DATABASE_MIGRATION_URL`"),
            "ZHANGFANG_REDIS__URL" => page.contains("`REDIS_URL`"),
            _ => false,
        };
        let file = name.strip_suffix("_FILE").is_some_and(|plain| {
            page.contains(&format!("`{plain}` or `…_FILE`")) || page.contains(&format!("`…{key}`"))
        });
        docs.contains(name) || limit || others || file
    };
    let not_said: Vec<_> = code.iter().filter(|name| !is_said(name)).collect();
    assert!(not_said.is_empty(), "{not_said:?}");
}

/// The names by which headings and anchors of a page can be linked to.
fn anchors(page: &str) -> BTreeSet<String> {
    let explicit = Regex::new(r#"<a id="([^"]+)"></a>"#).unwrap();
    let heading = Regex::new(r"(?m)^#+ +(.*)$").unwrap();
    let name = |text: &str| -> String {
        text.to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    let explicit = explicit
        .captures_iter(page)
        .map(|found| found[1].to_owned());
    let headings = heading.captures_iter(page).map(|found| name(&found[1]));
    explicit.chain(headings).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(
        [
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "CHANGELOG.md",
            "simulator/README.md",
        ]
        .map(|name| root().join(name)),
    );
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut followed, mut broken) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for found in link.captures_iter(&text) {
            let to = &found[1];
            if to.contains("://") {
                continue;
            }
            followed += 1;
            let (path, anchor) = to.split_once('#').unwrap_or((to, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !leads {
                broken.push(format!("{}: {to}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(followed > 30, "{followed}");
}
