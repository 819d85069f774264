//! Expressions of rules: CEL, checked at load and bounded.
//!
//! The parser gets at most [`CHARACTERS_MAX`] characters, on a thread with a large stack, since a
//! long chain of operators nests deeply. The tree is type-checked ([`super::typing`]) and refused
//! if it is deep, so that evaluation needs little stack on any thread.

use std::{
    cell::OnceCell,
    panic,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Program, Value,
    common::{
        types::{CelBool, CelInt, CelString},
        value::CowVal,
    },
    context::VariableResolver,
};

use super::{
    context::{ActivityContext, CounterReading},
    counter_table::CounterIndex,
    typing::{self, ExpressionError},
};
use crate::risk::keyboard;

/// A longer expression is refused.
pub(crate) const CHARACTERS_MAX: usize = 2_000;

/// The standard operators and functions without macros (`all`, `map`, ..), which are loops.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// An expression that is sound.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
    pub(crate) counters: Vec<CounterIndex>,
}

impl Expression {
    /// Needs a large stack: see the module.
    pub(crate) fn compile(
        text: &str,
        counter_named: impl Fn(&str) -> Option<CounterIndex>,
    ) -> Result<Self, Vec<ExpressionError>> {
        let wrong = |byte, what: String| vec![ExpressionError { byte, what }];
        let length = text.chars().count();
        if length > CHARACTERS_MAX {
            return Err(wrong(
                0,
                format!("the expression has {length} characters; {CHARACTERS_MAX} are the most"),
            ));
        }
        // The parser is not ours and reads what people write: whatever it does, the old rules stay.
        let parsed = panic::catch_unwind(|| ENVIRONMENT.compile(text));
        let parsed = parsed.map_err(|_| wrong(0, "the expression cannot be read".to_owned()))?;
        let program = parsed.map_err(|errors| {
            // What follows the first is mostly its consequence.
            let first = errors.errors.into_iter().next();
            let (position, said) =
                first.map_or(((1, 1), String::new()), |first| (first.pos, first.msg));
            wrong(byte_of(text, position), explain(&said, text))
        })?;
        let counters = typing::check(&program, text, counter_named)?;
        Ok(Self { program, counters })
    }
}

impl Expression {
    /// Its tree.
    pub(super) fn root(&self) -> &IdedExpr {
        self.program.expression()
    }
}

/// Runs expressions on one activity. The context is made when the first is reached.
pub(super) struct Evaluator<'a> {
    names: &'a FactVariables<'a>,
    context: OnceCell<Context<'a, 'a>>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(names: &'a FactVariables<'a>) -> Self {
        Self {
            names,
            context: OnceCell::new(),
        }
    }

    /// None if it could not be told: a counter is missing, or numbers overflow or are divided by
    /// zero.
    pub(super) fn holds(&self, expression: &Expression) -> Option<bool> {
        let context = self.context.get_or_init(|| {
            let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
            context.set_variable_resolver(self.names);
            context
        });
        match expression.program.execute(context) {
            Ok(Value::Bool(holds)) => Some(holds),
            Ok(_) | Err(_) => None,
        }
    }
}

/// What the names in expressions stand for.
#[derive(Debug)]
pub(super) struct FactVariables<'a>(pub(super) ActivityContext<'a>);

impl VariableResolver for FactVariables<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let known = &self.0;
        let facts = known.facts;
        let text = |text: &str| Some(CowVal::owned(CelString::from(text.to_owned())));
        let int = |number: i64| Some(CowVal::owned(CelInt::from(number)));
        let truth = |holds: bool| Some(CowVal::owned(CelBool::from(holds)));
        match name {
            "amount_fen" => int(known.amount().unwrap_or(0)),
            "points" => int(known.points().unwrap_or(0)),
            "hour" => int(i64::from(known.local_time().0 / 60)),
            "weekday" => int(i64::from(known.local_time().1)),
            "customer" => text(&facts.customer.map(|id| id.to_string()).unwrap_or_default()),
            "merchant" => text(&facts.merchant.map(|id| id.to_string()).unwrap_or_default()),
            "has_customer" => truth(facts.customer.is_some()),
            "own_merchant" => truth(facts.own_merchant),
            "customer_age_days" => int(known.customer_age_days()),
            "source" => text(facts.source.as_deref().unwrap_or_default()),
            "device" => {
                let device = facts.origin.device.as_ref();
                text(device.map_or("", |device| device.as_str()))
            }
            "stage" => text(facts.stage.name()),
            _ => {
                let number = known.counter_named(name.strip_prefix("counters.")?)?;
                match known.read(number) {
                    CounterReading::Number(number) => int(number),
                    CounterReading::NoSubject => int(0),
                    // The expression then has no value.
                    CounterReading::Missing => None,
                }
            }
        }
    }
}

/// The byte at a line and column, both from 1.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let count = |number: isize| usize::try_from(number).unwrap_or(1).saturating_sub(1);
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(count(line)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let inside = rest.char_indices().nth(count(column));
    inside.map_or(text.len(), |(byte, _)| before + byte)
}

/// The parser's sentence without the list of everything that it would rather have seen, and what
/// was probably meant.
fn explain(said: &str, text: &str) -> String {
    if said.contains("Recursion limit") {
        return typing::TOO_DEEP.to_owned();
    }
    let said = said.strip_prefix("Syntax error: ").unwrap_or(said);
    let said = said.split(" expecting ").next().unwrap_or_default();
    let said = said.replace("mismatched input '<EOF>'", "something is missing");
    let said = said.replace("token recognition error at", "this sign is not known");
    // It quotes the text, and a terminal obeys control characters.
    let said: String = said
        .chars()
        .filter(|letter| !letter.is_control())
        .take(200)
        .collect();
    let hint = hint(&said, text);
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("the expression cannot be read from here on: {said}{hint}")
}

fn hint(said: &str, text: &str) -> Option<String> {
    if let Some(hint) = text.lines().find_map(keyboard::hint) {
        return Some(hint);
    }
    let has_word = |words: [&str; 2]| {
        let mut found = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        found.any(|word| words.contains(&word))
    };
    let hint = if said.contains("'= ") || said.contains("'='") {
        "equal is =="
    } else if has_word(["and", "AND"]) || has_word(["or", "OR"]) || has_word(["not", "NOT"]) {
        "and is &&, or is ||, not is !"
    } else if said.contains("'&") || said.contains("'|") {
        "and is &&, or is ||"
    } else if said.contains("','") {
        "numbers are written without commas"
    } else if said.contains("''") || said.contains("'\"") {
        "the end of a text in quotes is missing"
    } else {
        return None;
    };
    Some(hint.to_owned())
}
