//! The description as a page: plain HTML with anchors, made from the document. It needs no script and loads nothing.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::api::codes;

/// The style of the page, which the page holds.
pub(super) const STYLE: &str = include_str!("reader.css");

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let mut page = Page::default();
    page.raw(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>",
    );
    page.text(&format!("{title}: the REST API"));
    page.raw("</title><style>");
    page.raw(STYLE);
    page.raw("</style></head><body>");
    navigation(&mut page, document);
    page.raw("<main><h1>");
    page.text(&format!("{title} {}", text(&document["info"]["version"])));
    page.raw("</h1>");
    page.prose(text(&document["info"]["description"]));
    page.raw("<p><a href=\"openapi.json\">This description as OpenAPI 3.1</a></p>");
    for tag in list(&document["tags"]) {
        page.heading("tag", text(&tag["name"]));
        page.prose(text(&tag["description"]));
        for (path, method, operation) in operations(document).filter(|(.., operation)| operation["tags"][0] == tag["name"]) {
            call(&mut page, document, path, method, operation);
        }
    }
    page.heading("part", "Schemas");
    for (name, schema) in object(&document["components"]["schemas"]) {
        named_schema(&mut page, name, schema);
    }
    errors(&mut page);
    page.raw("</main></body></html>\n");
    page.0
}

fn navigation(page: &mut Page, document: &Value) {
    page.raw("<nav aria-label=\"Calls and schemas\">");
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        page.raw(&format!("<h2><a href=\"#tag-{}\">", anchor(name)));
        page.text(name);
        page.raw("</a></h2><ul>");
        for (_, _, operation) in operations(document).filter(|(.., operation)| operation["tags"][0] == tag["name"]) {
            page.raw(&format!("<li><a href=\"#{}\">", anchor(text(&operation["operationId"]))));
            page.text(text(&operation["summary"]));
            page.raw("</a></li>");
        }
        page.raw("</ul>");
    }
    page.raw("<h2><a href=\"#part-schemas\">Schemas</a></h2><ul>");
    for name in object(&document["components"]["schemas"]).map(|(name, _)| name) {
        page.raw("<li>");
        page.schema_link(name);
        page.raw("</li>");
    }
    page.raw("</ul><h2><a href=\"#part-errors\">Errors</a></h2></nav>");
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    object(&document["paths"]).flat_map(|(path, calls)| object(calls).map(move |(method, operation)| (path, method, operation)))
}

fn call(page: &mut Page, document: &Value, path: &str, method: &str, operation: &Value) {
    let id = anchor(text(&operation["operationId"]));
    page.raw(&format!("<section id=\"{id}\"><h3><a href=\"#{id}\"><span class=\"method\">{}</span>", escaped(&method.to_uppercase())));
    page.raw("<code>");
    page.text(path);
    page.raw("</code></a></h3><p><strong>");
    page.text(text(&operation["summary"]));
    page.raw("</strong></p>");
    page.prose(text(&operation["description"]));
    let parameters = list(&operation["parameters"]);
    if !parameters.is_empty() {
        page.raw("<h4>Parameters</h4><table><thead><tr><th>name</th><th>in</th><th>form</th><th>meaning</th></tr></thead><tbody>");
        for parameter in parameters {
            page.raw("<tr><td><code>");
            page.text(text(&parameter["name"]));
            page.raw("</code></td><td>");
            page.text(text(&parameter["in"]));
            page.raw("</td><td>");
            page.form(&parameter["schema"]);
            page.raw("</td><td>");
            page.line(text(&parameter["description"]));
            page.raw("</td></tr>");
        }
        page.raw("</tbody></table>");
    }
    body(page, &operation["requestBody"]);
    page.raw("<h4>Answers</h4><table><thead><tr><th>status</th><th>form</th><th>meaning</th></tr></thead><tbody>");
    for (status, answer) in object(&operation["responses"]) {
        page.raw("<tr><td>");
        page.text(status);
        page.raw("</td><td>");
        answer_form(page, document, answer);
        page.raw("</td><td>");
        page.prose(text(&answer["description"]));
        for (name, header) in object(&answer["headers"]) {
            page.raw("<div><code>");
            page.text(name);
            page.raw("</code>: ");
            page.line(text(&header["description"]));
            page.raw("</div>");
        }
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table></section>");
}

fn body(page: &mut Page, body: &Value) {
    if body.is_null() {
        return;
    }
    page.raw("<h4>Body</h4>");
    page.prose(text(&body["description"]));
    if body["required"] == false {
        page.raw("<p>It may be left out.</p>");
    }
    let mut shown: Option<&Value> = None;
    for (media_type, content) in object(&body["content"]) {
        page.raw("<p><code>");
        page.text(media_type);
        page.raw("</code>: ");
        page.form(&content["schema"]);
        page.raw("</p>");
        if let Some(example) = content.get("example").filter(|example| shown != Some(example)) {
            shown = Some(example);
            page.raw("<pre>");
            page.text(&format!("{example:#}"));
            page.raw("</pre>");
        }
    }
}

fn answer_form(page: &mut Page, document: &Value, answer: &Value) {
    for (media_type, content) in object(&answer["content"]) {
        // Problems narrow the schema that all have in common to the codes, which the text names.
        let schema = if media_type == "application/problem+json" { &content["schema"]["allOf"][0] } else { &content["schema"] };
        page.form(schema);
        if document.is_object() && media_type != "application/json" {
            page.raw("<div><code>");
            page.text(media_type);
            page.raw("</code></div>");
        }
    }
}

fn named_schema(page: &mut Page, name: &str, schema: &Value) {
    let id = anchor(name);
    page.raw(&format!("<section id=\"schema-{id}\"><h3><a href=\"#schema-{id}\">"));
    page.text(name);
    page.raw("</a></h3>");
    page.prose(text(&schema["description"]));
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    if properties.is_empty() {
        page.raw("<p>");
        page.form(schema);
        page.raw("</p></section>");
        return;
    }
    page.raw("<table><thead><tr><th>field</th><th>form</th><th>meaning</th></tr></thead><tbody>");
    for (field, shape) in &properties {
        page.raw("<tr><td><code>");
        page.text(field);
        page.raw("</code>");
        if list(&schema["required"]).iter().any(|required| required == field) {
            page.raw(" <span class=\"must\">always</span>");
        }
        page.raw("</td><td>");
        page.form(shape);
        page.raw("</td><td>");
        page.line(text(&shape["description"]));
        if let Some(default) = shape.get("default") {
            page.raw(" Default: <code>");
            page.text(&default.to_string());
            page.raw("</code>");
        }
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table></section>");
}

fn errors(page: &mut Page) {
    page.heading("part", "Errors");
    page.raw("<table><thead><tr><th>code</th><th>status</th><th>when, and what to do</th></tr></thead><tbody>");
    for code in codes::CODES {
        page.raw(&format!(
            "<tr id=\"error-{0}\"><td><a href=\"#error-{0}\"><code>{0}</code></a></td><td>{1}</td><td>",
            anchor(code.name),
            code.status
        ));
        page.line(code.meaning);
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table>");
}

/// HTML in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        self.0.push_str(&escaped(text));
    }

    fn heading(&mut self, kind: &str, text: &str) {
        write!(self.0, "<h2 id=\"{kind}-{}\">{}</h2>", anchor(text), escaped(text)).expect("writing to a string does not fail");
    }

    /// One line, in which backticks mark code.
    fn line(&mut self, text: &str) {
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 1 {
                self.raw("<code>");
                self.text(part);
                self.raw("</code>");
            } else {
                self.text(part);
            }
        }
    }

    /// Paragraphs, and lists whose lines begin with `- `.
    fn prose(&mut self, text: &str) {
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            if block.starts_with("- ") {
                self.raw("<ul>");
                for line in block.lines() {
                    self.raw("<li>");
                    self.line(line.trim_start_matches("- "));
                    self.raw("</li>");
                }
                self.raw("</ul>");
            } else {
                self.raw("<p>");
                self.line(block);
                self.raw("</p>");
            }
        }
    }

    fn schema_link(&mut self, name: &str) {
        self.raw(&format!("<a href=\"#schema-{}\">", anchor(name)));
        self.text(name);
        self.raw("</a>");
    }

    /// What a value looks like, in a few words.
    fn form(&mut self, schema: &Value) {
        if let Some(target) = schema["$ref"].as_str() {
            return self.schema_link(target.rsplit('/').next().unwrap_or(target));
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            let choices = list(&schema[key]);
            if !choices.is_empty() {
                return self.forms(choices, if key == "allOf" { " and " } else { " or " });
            }
        }
        if let Some(constant) = schema.get("const") {
            return self.code(constant);
        }
        if !list(&schema["enum"]).is_empty() {
            for (index, value) in list(&schema["enum"]).iter().enumerate() {
                self.raw(if index > 0 { ", " } else { "" });
                self.code(value);
            }
            return;
        }
        self.typed(schema);
        self.bounds(schema);
    }

    fn forms(&mut self, schemas: &[Value], between: &str) {
        for (index, schema) in schemas.iter().enumerate() {
            self.raw(if index > 0 { between } else { "" });
            self.form(schema);
            if let Some(meaning) = schema["description"].as_str().filter(|_| schema.get("const").is_some()) {
                self.raw(" (");
                self.line(meaning.trim_end_matches('.'));
                self.raw(")");
            }
        }
    }

    fn typed(&mut self, schema: &Value) {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return self.raw("any value"),
        };
        for (index, name) in types.iter().enumerate() {
            self.raw(if index > 0 { " or " } else { "" });
            match *name {
                "array" => {
                    self.raw("list of ");
                    self.form(&schema["items"]);
                }
                "object" if schema["additionalProperties"].get("$ref").is_some() => {
                    self.raw("object of ");
                    self.form(&schema["additionalProperties"]);
                }
                "string" => self.text(schema["format"].as_str().unwrap_or("text")),
                "null" => self.raw("null"),
                other => self.text(other),
            }
        }
    }

    fn bounds(&mut self, schema: &Value) {
        let known = [
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("minLength", "characters at least"),
            ("maxLength", "characters at most"),
            ("minItems", "items at least"),
            ("maxItems", "items at most"),
        ];
        for (key, words) in known {
            if let Some(bound) = schema.get(key).filter(|bound| !(key == "minimum" && **bound == 0)) {
                self.text(&format!(", {words} {bound}"));
            }
        }
        if let Some(pattern) = schema["pattern"].as_str() {
            self.raw("<div><code>");
            self.text(pattern);
            self.raw("</code></div>");
        }
    }

    fn code(&mut self, value: &Value) {
        self.raw("<code>");
        self.text(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        self.raw("</code>");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

/// A name as it can stand in an id and in a link.
fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
