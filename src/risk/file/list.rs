//! `lists`: customers, merchants, devices or addresses with a name.

use std::{collections::HashSet, fmt::Display, hash::Hash, sync::Arc};

use super::{
    Reader,
    fields::{Fields, shown},
    mistake::Mistakes,
    node::Node,
    scalar::is_name,
};
use crate::{
    facts::Device,
    primitives::{CustomerId, MerchantId},
    risk::rules::{AddressRanges, List, Members, parse_range},
};

/// More lists are refused.
const LISTS_MAX: usize = 50;

/// A longer list is refused; the file's length mostly refuses it before.
const ITEMS_MAX: usize = 20_000;

const LIST_KINDS: [&str; 4] = ["customers", "merchants", "addresses", "devices"];

impl Reader<'_> {
    pub(super) fn lists(&mut self, node: &Node) {
        let Some(lists) = Fields::free(node, "lists", &mut self.mistakes) else {
            return;
        };
        for (index, (name, position, node)) in lists.iter().enumerate() {
            if index == LISTS_MAX {
                let most = format!("{LISTS_MAX} lists are the most");
                self.mistakes.add(position, most);
                return;
            }
            if !is_name(name, true) {
                let name = shown(name);
                self.mistakes.add(
                    position,
                    format!("a list's name is 1 to 40 of a-z, 0-9, _ and -, with a letter first, and not {name}"),
                );
                continue;
            }
            let members = members(node, &mut self.mistakes);
            let list = members.map(|members| {
                Arc::new(List {
                    name: name.to_owned(),
                    members,
                })
            });
            self.lists.insert(name.to_owned(), list);
        }
    }
}

fn members(node: &Node, mistakes: &mut Mistakes) -> Option<Members> {
    let fields = Fields::of(node, "a list", &LIST_KINDS, mistakes)?;
    let mut kinds = LIST_KINDS
        .iter()
        .filter_map(|kind| Some((*kind, fields.get(kind)?)));
    let Some((kind, items)) = kinds.next() else {
        mistakes.add(
            fields.position,
            format!("a list needs one of {}", LIST_KINDS.join(", ")),
        );
        return None;
    };
    if let Some((second, node)) = kinds.next() {
        mistakes.add(
            node.position,
            format!("a list is of {kind} or of {second}, not both: make two"),
        );
        return None;
    }
    match kind {
        "customers" => {
            let example = "a customer is written cu_ and 32 digits of 0-9 and a-f";
            each(items, kind, mistakes, |text| {
                text.parse::<CustomerId>().map_err(|_| example)
            })
            .map(set)
            .map(Members::Customers)
        }
        "merchants" => {
            let example = "a merchant is written me_ and 32 digits of 0-9 and a-f";
            each(items, kind, mistakes, |text| {
                text.parse::<MerchantId>().map_err(|_| example)
            })
            .map(set)
            .map(Members::Merchants)
        }
        "devices" => each(items, kind, mistakes, Device::parse)
            .map(set)
            .map(Members::Devices),
        _ => each(items, kind, mistakes, parse_range)
            .map(|ranges| AddressRanges::new(&ranges))
            .map(Members::Addresses),
    }
}

/// Each item as a text that `read` understands.
fn each<T, E: Display>(
    items: &Node,
    kind: &str,
    mistakes: &mut Mistakes,
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let items = items.items(kind, ITEMS_MAX, mistakes)?;
    let mut all = Vec::with_capacity(items.len());
    let mut sound = true;
    for item in items {
        let Some(text) = item.raw_text("text (in quotes, if it looks like a number)", mistakes)
        else {
            sound = false;
            continue;
        };
        match read(text) {
            Ok(member) => all.push(member),
            Err(wrong) => {
                sound = false;
                let text = shown(text);
                mistakes.add(
                    item.position,
                    format!("{text} is not one of {kind}: {wrong}"),
                );
            }
        }
    }
    sound.then_some(all)
}

fn set<T: Eq + Hash>(members: Vec<T>) -> HashSet<T> {
    members.into_iter().collect()
}
