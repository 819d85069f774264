//! An operation as the document has it: what to send, and what is to come of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::harness::document;

pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) tag: String,
    pub(super) description: String,
    pub(super) successes: Vec<u16>,
    /// None: everybody may.
    pub(super) roles: Vec<String>,
    template: String,
    parameters: Vec<Value>,
    media: Option<Value>,
}

pub(super) fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, said) in methods.as_object().unwrap() {
            all.push(Operation::of(template, method, said));
        }
    }
    all
}

impl Operation {
    fn of(template: &str, method: &str, said: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let statuses = said["responses"].as_object().unwrap().keys();
        let statuses = statuses.filter_map(|status| status.parse().ok());
        let roles = said["security"][0]["access_token"].as_array();
        let parameters = said["parameters"].as_array();
        let media = &said["requestBody"]["content"]["application/json"];
        Self {
            id: text(&said["operationId"]),
            method: method.to_owned(),
            tag: text(&said["tags"][0]),
            description: text(&said["description"]),
            successes: statuses.filter(|status| *status < 300).collect(),
            roles: roles.into_iter().flatten().map(text).collect(),
            template: template.to_owned(),
            parameters: parameters.cloned().unwrap_or_default(),
            media: media.is_object().then(|| media.clone()),
        }
    }

    /// What has to be sent in this place, and where it is asked for also what may be, by the
    /// examples.
    fn parameters(
        &self,
        place: &str,
        also_optional: bool,
    ) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        for parameter in self.parameters.iter().filter(|one| one["in"] == place) {
            let name = parameter["name"].as_str().unwrap();
            let schema = &parameter["schema"];
            let required = parameter["required"] == true;
            let example = if required {
                &schema["example"]
            } else {
                &schema["examples"][0]
            };
            if example.is_null() && required {
                return Err(name.to_owned());
            }
            if example.is_null() || (!required && !also_optional) {
                continue;
            }
            let text = example.as_str().map(str::to_owned);
            all.push((name.to_owned(), text.unwrap_or_else(|| example.to_string())));
        }
        Ok(all)
    }

    /// The path, with these in the place of the examples.
    pub(super) fn path(&self, ids: &BTreeMap<&str, String>) -> Result<String, String> {
        let mut path = self.template.clone();
        for (name, example) in self.parameters("path", false)? {
            let value = ids.get(name.as_str()).unwrap_or(&example);
            path = path.replace(&format!("{{{name}}}"), value);
        }
        Ok(path)
    }

    pub(super) fn headers(&self) -> Result<Vec<(String, String)>, String> {
        self.parameters("header", true)
    }

    /// The query, with or without what may be left out of it.
    pub(super) fn query(&self, also_optional: bool) -> Result<String, String> {
        let all = self.parameters("query", also_optional)?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(all)
            .finish();
        Ok(if query.is_empty() {
            query
        } else {
            format!("?{query}")
        })
    }

    /// The bodies of the document by name, or the one that Swagger UI makes of the examples of all
    /// members; the error is a member without one.
    pub(super) fn bodies(&self, document: &Value) -> Result<Vec<(String, Value)>, String> {
        let Some(media) = &self.media else {
            return Ok(Vec::new());
        };
        if let Some(named) = media["examples"].as_object() {
            let named = named.iter();
            let named = named.map(|(name, example)| (name.clone(), example["value"].clone()));
            return Ok(named.collect());
        }
        let body = match media.get("example") {
            Some(example) => example.clone(),
            None => sample(document, &media["schema"], "body")?,
        };
        Ok(vec![("the example".to_owned(), body)])
    }

    /// Where a body is not as the document says that bodies are.
    pub(super) fn errors(&self, body: &Value) -> Vec<String> {
        let media = self.media.as_ref();
        media.map_or_else(Vec::new, |media| document().errors(&media["schema"], body))
    }
}

fn sample(document: &Value, schema: &Value, at: &str) -> Result<Value, String> {
    if let Some(example) = schema.get("example") {
        return Ok(example.clone());
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return sample(document, &document["components"]["schemas"][name], at);
    }
    if let Some(word) = schema["enum"].get(0) {
        return Ok(word.clone());
    }
    if let Some(properties) = schema["properties"].as_object() {
        let mut body = Map::new();
        for (name, property) in properties {
            let value = sample(document, property, &format!("{at}.{name}"))?;
            body.insert(name.clone(), value);
        }
        return Ok(Value::Object(body));
    }
    let items = &schema["items"];
    if items.is_null() {
        return Err(at.to_owned());
    }
    Ok(json!([sample(document, items, at)?]))
}
