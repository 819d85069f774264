//! Reads a JSON body field by field, as strictly as WeChat does.
//!
//! Each rule takes its field out; what is left at [`Fields::finish`] is unknown, and unknown fields
//! are refused. So are nulls: an absent field is left out.

use serde_json::{Map, Value};

use super::answer::Refusal;

/// The fields of one object that no rule has read yet.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    rest: Map<String, Value>,
}

impl Fields {
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(rest)) => Ok(Self {
                path: String::new(),
                rest,
            }),
            Ok(_) | Err(_) => Err(Refusal::param("请求的HTTP BODY不是合法的JSON对象")),
        }
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    fn missing(&self, name: &str) -> Refusal {
        Refusal::missing(&self.path(name))
    }

    /// Text of at most `longest` characters, or nothing.
    pub(super) fn optional_text(
        &mut self,
        name: &str,
        longest: usize,
    ) -> Result<Option<String>, Refusal> {
        let path = self.path(name);
        match self.rest.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => {
                Err(Refusal::field(&path, Some(text.into()), "最小字符数为1"))
            }
            Some(Value::String(text)) if text.chars().count() > longest => {
                let issue = format!("字符数超过最大值{longest}");
                Err(Refusal::field(&path, Some(text.into()), &issue))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Refusal::field(&path, Some(other), "不是字符串")),
        }
    }

    pub(super) fn text(&mut self, name: &str, longest: usize) -> Result<String, Refusal> {
        self.optional_text(name, longest)?
            .ok_or_else(|| self.missing(name))
    }

    /// A whole number of at least `least`; `1.0` is none.
    pub(super) fn optional_integer(
        &mut self,
        name: &str,
        least: i64,
    ) -> Result<Option<i64>, Refusal> {
        let path = self.path(name);
        let Some(value) = self.rest.remove(name) else {
            return Ok(None);
        };
        match value.as_i64() {
            Some(number) if number >= least => Ok(Some(number)),
            Some(_) => Err(Refusal::field(
                &path,
                Some(value),
                &format!("小于最小值{least}"),
            )),
            None => Err(Refusal::field(&path, Some(value), "不是整数")),
        }
    }

    pub(super) fn integer(&mut self, name: &str, least: i64) -> Result<i64, Refusal> {
        self.optional_integer(name, least)?
            .ok_or_else(|| self.missing(name))
    }

    pub(super) fn optional_flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let path = self.path(name);
        match self.rest.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(Refusal::field(&path, Some(other), "不是布尔值")),
        }
    }

    pub(super) fn optional_object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.path(name);
        match self.rest.remove(name) {
            None => Ok(None),
            Some(Value::Object(rest)) => Ok(Some(Self { path, rest })),
            Some(other) => Err(Refusal::field(&path, Some(other), "不是对象")),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Self, Refusal> {
        self.optional_object(name)?
            .ok_or_else(|| self.missing(name))
    }

    /// A list of at least one object, or nothing.
    pub(super) fn optional_objects(
        &mut self,
        name: &str,
        longest: usize,
    ) -> Result<Vec<Self>, Refusal> {
        let items = self.optional_list(name, longest)?;
        let path = self.path(name);
        let object = |(n, item)| {
            let path = format!("{path}/{n}");
            if let Value::Object(rest) = item {
                Ok(Self { path, rest })
            } else {
                Err(Refusal::field(&path, Some(item), "不是对象"))
            }
        };
        items.into_iter().enumerate().map(object).collect()
    }

    /// A list of at least one text, or nothing.
    pub(super) fn optional_texts(&mut self, name: &str, longest: usize) -> Result<(), Refusal> {
        let path = self.path(name);
        for item in self.optional_list(name, longest)? {
            if !item.is_string() {
                return Err(Refusal::field(&path, Some(item), "不是字符串"));
            }
        }
        Ok(())
    }

    fn optional_list(&mut self, name: &str, longest: usize) -> Result<Vec<Value>, Refusal> {
        let path = self.path(name);
        match self.rest.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if (1..=longest).contains(&items.len()) => Ok(items),
            Some(Value::Array(_)) => Err(Refusal::field(
                &path,
                None,
                &format!("列表长度必须为1到{longest}"),
            )),
            Some(other) => Err(Refusal::field(&path, Some(other), "不是列表")),
        }
    }

    /// Refuses what no rule has asked for.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.rest.into_iter().next() {
            None => Ok(()),
            Some((name, value)) => {
                let path = format!("{}/{name}", self.path);
                Err(Refusal::field(
                    &path,
                    Some(value),
                    "参数中含有非法的额外参数",
                ))
            }
        }
    }
}
