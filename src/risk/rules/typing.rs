//! Type-checks expressions at load.
//!
//! CEL reports an unknown name, or a comparison of text with a number, only when it runs. Since a
//! rule that fails is useless, all of this is checked at load. Accepted is the small part of the
//! language that rules need: no fractions (money is whole), no maps, no loops. So evaluation takes
//! time linear in the length of the expression.

use cel::{
    IdedExpr, Program,
    common::ast::{Expr, LiteralValue, operators as op},
};

use super::counter_table::CounterIndex;

/// What can be nested in what, so that evaluation needs little stack.
const DEPTH_MAX: usize = 48;

pub(super) const TOO_DEEP: &str = "too much is nested here: make two rules, or use `in [..]`";

/// The names that an expression may use, beside `counters.NAME`.
pub(super) const VARIABLES: [(&str, Type); 12] = [
    ("amount_fen", Type::Int),
    ("points", Type::Int),
    ("hour", Type::Int),
    ("weekday", Type::Int),
    ("customer", Type::Text),
    ("merchant", Type::Text),
    ("has_customer", Type::Bool),
    ("own_merchant", Type::Bool),
    ("customer_age_days", Type::Int),
    ("source", Type::Text),
    ("device", Type::Text),
    ("stage", Type::Text),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Text,
    /// A list of literals; the type of what is in it.
    List(Item),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Int,
    Text,
}

impl Type {
    const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a number",
            Self::Text => "text",
            Self::List(Item::Int) => "a list of numbers",
            Self::List(Item::Text) => "a list of texts",
        }
    }
}

/// What is wrong with an expression, and at which byte of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    pub(crate) byte: usize,
    pub(crate) what: String,
}

/// Checks the types of a program, whose result must be true or false. Gives the counters it reads.
pub(super) fn check(
    program: &Program,
    text: &str,
    counter_named: impl Fn(&str) -> Option<CounterIndex>,
) -> Result<Vec<CounterIndex>, Vec<ExpressionError>> {
    let mut checker = TypeChecker {
        program,
        text,
        counter_named,
        counters: Vec::new(),
        errors: Vec::new(),
    };
    let root = program.expression();
    match checker.type_of(root, 0) {
        Some(Type::Bool) | None => {}
        Some(other) => {
            let noun = other.describe();
            checker.report(
                root,
                format!("the whole must be true or false, and this is {noun}"),
            );
        }
    }
    if checker.errors.is_empty() {
        Ok(checker.counters)
    } else {
        Err(checker.errors)
    }
}

struct TypeChecker<'a, F> {
    program: &'a Program,
    text: &'a str,
    counter_named: F,
    counters: Vec<CounterIndex>,
    errors: Vec<ExpressionError>,
}

impl<F: Fn(&str) -> Option<CounterIndex>> TypeChecker<'_, F> {
    fn report(&mut self, at: &IdedExpr, what: impl Into<String>) {
        let byte = self.byte(at);
        let what = what.into();
        self.errors.push(ExpressionError { byte, what });
    }

    /// Where it is written; for a call, where its name is.
    fn byte(&self, at: &IdedExpr) -> usize {
        let offset = self.program.source_info().offset_for(at.id);
        let offset = offset.map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        // A call is said to be where its parenthesis is.
        if let Expr::Call(call) = &at.expr
            && let Some(start) = offset.checked_sub(call.func_name.len())
            && self.text.get(start..offset) == Some(&call.func_name)
        {
            return start;
        }
        offset
    }

    /// None when something was wrong in it, which was told.
    fn type_of(&mut self, at: &IdedExpr, depth: usize) -> Option<Type> {
        if depth > DEPTH_MAX {
            self.report(at, TOO_DEEP);
            return None;
        }
        match &at.expr {
            Expr::Literal(literal) => self.literal(at, literal),
            Expr::Ident(name) => self.variable(at, name),
            Expr::Select(select) => {
                if let Expr::Ident(base) = &select.operand.expr
                    && base == "counters"
                {
                    return self.counter(&select.operand, &select.field);
                }
                let field = &select.field;
                self.report(
                    at,
                    format!("nothing has a part named {field} here; only counters.NAME has a dot"),
                );
                None
            }
            Expr::List(list) => self.list(at, &list.elements, depth),
            Expr::Call(call) if !is_known(&call.func_name) => {
                let name = &call.func_name;
                self.report(
                    at,
                    format!(
                        "there is no {name} here; there are && || ! == != < <= > >= + - * / % in ?:, size(..), .startsWith(..), .endsWith(..) and .contains(..)"
                    ),
                );
                None
            }
            Expr::Call(call) => {
                let mut types = Vec::with_capacity(2);
                let parts = call.target.as_deref().into_iter().chain(&call.args);
                for part in parts {
                    types.push(self.type_of(part, depth + 1));
                }
                // What is wrong inside was told; what it would be as a whole cannot be known.
                let types: Vec<Type> = types.into_iter().collect::<Option<_>>()?;
                self.call(at, &call.func_name, call.target.is_some(), &types)
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                self.report(at, "an expression here has no {..}");
                None
            }
        }
    }

    fn literal(&mut self, at: &IdedExpr, literal: &LiteralValue) -> Option<Type> {
        let wrong = match literal {
            LiteralValue::Boolean(_) => return Some(Type::Bool),
            LiteralValue::Int(_) => return Some(Type::Int),
            LiteralValue::String(_) => return Some(Type::Text),
            LiteralValue::Double(_) => "numbers are whole here: amounts are in fen",
            LiteralValue::UInt(_) => "a number is written without u",
            LiteralValue::Bytes(_) => "text is written without b",
            LiteralValue::Null => "there is no null here; what is not known is 0 or \"\"",
        };
        self.report(at, wrong);
        None
    }

    fn variable(&mut self, at: &IdedExpr, name: &str) -> Option<Type> {
        let found = VARIABLES.iter().find(|(other, _)| *other == name);
        if found.is_none() {
            let known: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
            let what = if name == "counters" {
                "counters need a name after them: counters.NAME".to_owned()
            } else {
                let known = known.join(", ");
                format!("there is no {name}; there are {known} and counters.NAME")
            };
            self.report(at, what);
        }
        found.map(|(_, found)| *found)
    }

    fn counter(&mut self, at: &IdedExpr, name: &str) -> Option<Type> {
        let Some(number) = (self.counter_named)(name) else {
            self.report(
                at,
                format!("the file names no counter {name} under counters:"),
            );
            return None;
        };
        if !self.counters.contains(&number) {
            self.counters.push(number);
        }
        Some(Type::Int)
    }

    fn list(&mut self, at: &IdedExpr, elements: &[IdedExpr], depth: usize) -> Option<Type> {
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            items.push(match self.type_of(element, depth + 1)? {
                Type::Int => Item::Int,
                Type::Text => Item::Text,
                Type::Bool | Type::List(_) => {
                    self.report(element, "a list has numbers in it, or texts");
                    return None;
                }
            });
        }
        let Some(first) = items.first().copied() else {
            self.report(at, "the list is empty");
            return None;
        };
        if let Some(odd) = items.iter().position(|item| *item != first) {
            let at = elements.get(odd).unwrap_or(at);
            self.report(at, "a list has numbers in it or texts, not both");
            return None;
        }
        Some(Type::List(first))
    }

    fn call(&mut self, at: &IdedExpr, name: &str, method: bool, types: &[Type]) -> Option<Type> {
        use Type::{Bool, Int, List, Text};
        let (result, wants) = match (name, method, types) {
            (op::LOGICAL_AND | op::LOGICAL_OR, false, types)
                if types.iter().all(|found| *found == Bool) =>
            {
                return Some(Bool);
            }
            (op::LOGICAL_NOT, false, [Bool])
            | (op::GREATER | op::GREATER_EQUALS | op::LESS | op::LESS_EQUALS, false, [Int, Int])
            | (op::EQUALS | op::NOT_EQUALS, false, [Bool, Bool] | [Int, Int] | [Text, Text])
            | (op::IN, false, [Int, List(Item::Int)] | [Text, List(Item::Text)])
            | ("startsWith" | "endsWith" | "contains", true, [Text, Text]) => return Some(Bool),
            (
                op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO,
                false,
                [Int, Int],
            )
            | (op::NEGATE, false, [Int])
            | ("size", _, [Text | List(_)]) => return Some(Int),
            (op::CONDITIONAL, false, [Bool, yes, no]) if yes == no => return Some(*yes),
            (op::LOGICAL_AND, ..) => ("&&", "true or false on both sides"),
            (op::LOGICAL_OR, ..) => ("||", "true or false on both sides"),
            (op::LOGICAL_NOT, ..) => ("!", "true or false"),
            (op::GREATER, ..) => (">", "numbers on both sides"),
            (op::GREATER_EQUALS, ..) => (">=", "numbers on both sides"),
            (op::LESS, ..) => ("<", "numbers on both sides"),
            (op::LESS_EQUALS, ..) => ("<=", "numbers on both sides"),
            (op::EQUALS, ..) => ("==", "the same on both sides"),
            (op::NOT_EQUALS, ..) => ("!=", "the same on both sides"),
            (op::IN, ..) => (
                "in",
                "a number in a list of numbers, or a text in a list of texts",
            ),
            (op::ADD, ..) => ("+", "numbers on both sides"),
            (op::SUBSTRACT, ..) => ("-", "numbers on both sides"),
            (op::MULTIPLY, ..) => ("*", "numbers on both sides"),
            (op::DIVIDE, ..) => ("/", "numbers on both sides"),
            (op::MODULO, ..) => ("%", "numbers on both sides"),
            (op::NEGATE, ..) => ("-", "a number"),
            (op::CONDITIONAL, ..) => (
                "?",
                "true or false before it, and the same on both sides of :",
            ),
            ("size", ..) => ("size(..)", "a text or a list"),
            ("startsWith", ..) => ("startsWith", "text.startsWith(text)"),
            ("endsWith", ..) => ("endsWith", "text.endsWith(text)"),
            ("contains", ..) => ("contains", "text.contains(text)"),
            // Unknown ones were told before.
            _ => (name, "something else"),
        };
        let found: Vec<&str> = types.iter().map(|found| found.describe()).collect();
        let found = found.join(" and ");
        self.report(at, format!("{result} needs {wants}, and here is {found}"));
        None
    }
}

/// The operators and functions that a rule can use; everything else of CEL is left out.
fn is_known(name: &str) -> bool {
    [
        op::CONDITIONAL,
        op::LOGICAL_AND,
        op::LOGICAL_OR,
        op::LOGICAL_NOT,
        op::SUBSTRACT,
        op::ADD,
        op::MULTIPLY,
        op::DIVIDE,
        op::MODULO,
        op::EQUALS,
        op::NOT_EQUALS,
        op::GREATER_EQUALS,
        op::LESS_EQUALS,
        op::GREATER,
        op::LESS,
        op::NEGATE,
        op::IN,
        "size",
        "startsWith",
        "endsWith",
        "contains",
    ]
    .contains(&name)
}
