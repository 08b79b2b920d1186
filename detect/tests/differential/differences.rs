//! The kinds of clause and value on which Weir and `rsigma-eval` 0.23.0 differ, each with a case.
//!
//! `docs/decisions/012-differences-from-rsigma.md` explains each by the specification.

use serde_json::{Value as Json, json};

/// One clause with one value, and the event that it reads.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// True for a clause on the field `f`, false for keywords.
    pub field: bool,
    pub modifiers: Vec<String>,
    /// One value, or all values of the clause if no single one shows the difference.
    pub values: Vec<Json>,
    pub event: Json,
}

impl Leaf {
    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|known| known == modifier)
    }

    pub fn is_negated(&self) -> bool {
        self.has("neq")
    }

    /// The value of the field.
    fn field_value(&self) -> Option<&Json> {
        self.event.get("f")
    }

    /// Whether some value has a wildcard.
    fn is_wild(&self) -> bool {
        let texts = self.values.iter().filter_map(Json::as_str);
        !self.has("re") && texts.into_iter().any(|text| text.contains(['*', '?']))
    }

    fn has_place(&self) -> bool {
        ["contains", "startswith", "endswith"]
            .iter()
            .any(|place| self.has(place))
    }

    /// Whether the field, or the field that it is compared with, is a list or null.
    fn reads_no_text(&self) -> bool {
        let fields = self.event.as_object().into_iter().flatten();
        let named = |name: &str| name == "f" || self.values.iter().any(|value| value == name);
        let mut read = fields.filter(|(name, _)| named(name));
        read.any(|(_, value)| value.is_array() || value.is_null())
    }

    /// Whether some field is a number or a boolean.
    fn event_has_scalars(&self) -> bool {
        fn is_scalar(value: &Json) -> bool {
            let list = value.as_array().into_iter().flatten();
            value.is_number() || value.is_boolean() || list.into_iter().any(is_scalar)
        }
        let fields = self.event.as_object().into_iter().flatten();
        fields.into_iter().any(|(_, value)| is_scalar(value))
    }

    fn reads(&self, wanted: impl Fn(&str) -> bool + Copy) -> bool {
        any_text(&self.event, wanted)
    }
}

fn any_text(value: &Json, wanted: impl Fn(&str) -> bool + Copy) -> bool {
    match value {
        Json::String(text) => wanted(text),
        Json::Array(values) => values.iter().any(|value| any_text(value, wanted)),
        Json::Object(fields) => fields.values().any(|value| any_text(value, wanted)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// A kind of clause and value on which the engines differ.
pub struct Difference {
    /// The name on the page.
    pub name: &'static str,
    pub applies: fn(&Leaf) -> bool,
    /// The answer of Weir before `neq` is applied; `None` if it may be either.
    pub ours: Option<bool>,
    pub example: fn() -> Leaf,
}

fn leaf(key: &str, values: Json, event: Json) -> Leaf {
    let mut parts = key.split('|');
    Leaf {
        field: parts.next() == Some("f"),
        modifiers: parts.map(str::to_owned).collect(),
        values: match values {
            Json::Array(values) => values,
            one => vec![one],
        },
        event,
    }
}

pub const TABLE: &[Difference] = &[
    Difference {
        name: "neq of an absent field",
        applies: |leaf| leaf.has("neq") && leaf.field_value().is_none(),
        ours: Some(false),
        example: || leaf("f|neq", json!("x"), json!({})),
    },
    Difference {
        name: "exists of a field without a value",
        applies: |leaf| leaf.has("exists") && leaf.field_value() == Some(&Json::Null),
        ours: None,
        example: || leaf("f|exists", json!(true), json!({"f": null})),
    },
    Difference {
        name: "wildcards within startswith, endswith, contains",
        applies: |leaf| leaf.has_place() && leaf.is_wild(),
        ours: None,
        example: || leaf("f|endswith", json!("1?"), json!({"f": "0x10"})),
    },
    Difference {
        name: "a new line under a wildcard",
        applies: |leaf| leaf.is_wild() && leaf.reads(|text| text.contains('\n')),
        ours: Some(true),
        example: || leaf("f", json!("a*b"), json!({"f": "a\nb"})),
    },
    Difference {
        name: "keywords of which all must be found",
        applies: |leaf| !leaf.field && leaf.has("all"),
        ours: Some(true),
        example: || leaf("|all", json!(["x", "y"]), json!({"a": "x", "b": "y"})),
    },
    Difference {
        name: "neq of keywords",
        applies: |leaf| !leaf.field && leaf.is_negated(),
        ours: Some(true),
        example: || leaf("|contains|neq", json!(["x"]), json!({"a": "x", "b": "y"})),
    },
    Difference {
        name: "keywords with modifiers",
        applies: |leaf| !leaf.field && !leaf.modifiers.is_empty() && !leaf.has_place(),
        ours: Some(true),
        example: || leaf("|windash", json!("-x"), json!({"a": "run -x"})),
    },
    Difference {
        name: "windash of other dashes",
        applies: |leaf| leaf.has("windash"),
        ours: Some(true),
        example: || leaf("f|windash", json!("/x"), json!({"f": "-x"})),
    },
    Difference {
        name: "fieldref between lists, or nothing",
        applies: |leaf| leaf.has("fieldref") && leaf.reads_no_text(),
        ours: None,
        example: || leaf("f|fieldref", json!("g"), json!({"f": [], "g": []})),
    },
    Difference {
        name: "null among other values",
        applies: |leaf| leaf.values.len() > 1 && leaf.values.contains(&Json::Null),
        ours: Some(true),
        example: || leaf("f", json!([null, "x"]), json!({})),
    },
    Difference {
        name: "keywords and numbers or truth values",
        applies: |leaf| {
            let texts = leaf.values.iter().all(Json::is_string);
            !leaf.field && (!texts || leaf.event_has_scalars())
        },
        ours: Some(true),
        example: || leaf("", json!([171]), json!({"a": 171})),
    },
    Difference {
        name: "null within a list",
        applies: |leaf| {
            let list = leaf.field_value().and_then(Json::as_array);
            leaf.values == [Json::Null] && list.is_some_and(|list| list.contains(&Json::Null))
        },
        ours: Some(true),
        example: || leaf("f", json!([null]), json!({"f": ["x", null]})),
    },
    Difference {
        name: "a truth value and other words for it",
        applies: |leaf| {
            let truths = leaf.values.iter().all(Json::is_boolean);
            let others = ["1", "0", "yes", "no"];
            truths && leaf.reads(|text| others.contains(&&*text.to_lowercase()))
        },
        ours: Some(false),
        example: || leaf("f", json!(true), json!({"f": "yes"})),
    },
    Difference {
        name: "base64offset of one byte",
        applies: |leaf| {
            let short = leaf
                .values
                .iter()
                .any(|value| value.as_str().is_some_and(|t| t.len() < 2));
            leaf.has("base64offset") && short
        },
        ours: Some(true),
        example: || leaf("f|base64offset|contains", json!("x"), json!({"f": "zzEzz"})),
    },
];

/// A refusal of one engine for a rule that the other may accept.
pub struct Refusal {
    /// The name on the page.
    pub name: &'static str,
    /// A part of the message.
    pub message: &'static str,
}

pub const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "a network of one address",
        message: "invalid CIDR: invalid IP address syntax",
    },
    Refusal {
        name: "windash of many dashes",
        message: "invalid modifier combination: windash modifier",
    },
    Refusal {
        name: "null, where text is required",
        message: "`null` cannot be combined with text modifiers or keywords",
    },
    Refusal {
        name: "keywords that are not text",
        message: "needs a field",
    },
];
