//! A compiled detection, and the hash that tells whether it has changed.

use weir_schema::{LogSource, RuleVersion};

use crate::sigma::grouping::Grouping;
use crate::sigma::matcher::Matcher;
use crate::sigma::yaml::YamlNode;

/// A hash of canonical text. Documents with equal shapes select and group the same events.
pub(crate) type ShapeHash = RuleVersion;

/// The log source and the matcher of a rule.
#[derive(Debug)]
pub(crate) struct Detection {
    pub logsource: LogSource,
    pub matcher: Matcher,
    pub shape: ShapeHash,
}

/// Hashes detection and log source. Descriptive keys are left out.
pub(crate) fn detection_shape(node: &YamlNode) -> ShapeHash {
    let mut bytes = Vec::new();
    if let Some(detection) = node.get("detection") {
        detection.canonical(&mut bytes);
    }
    for key in ["category", "product", "service"] {
        let value = node
            .get("logsource")
            .and_then(|logsource| logsource.get(key));
        value.unwrap_or(&YamlNode::Null).canonical(&mut bytes);
    }
    ShapeHash::of(&[b"detection", &bytes])
}

/// Hashes a detection with its grouping.
pub(crate) fn own_shape(detection: ShapeHash, grouping: &Grouping) -> ShapeHash {
    let detection = detection.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![b"rule", &detection];
    parts.extend(grouping.fields.iter().map(String::as_bytes));
    if !grouping.given {
        parts.push(b"");
    }
    ShapeHash::of(&parts)
}
