//! W10: no group value, evidence or list of merged alerts makes a body that consumers refuse.

use proptest::prelude::*;
use weir_schema::{AlertId, BatchSeq, EventId, EventTime, EvidenceItem, GroupField, Position};

use super::*;
use crate::format::body_limit::{BODY_BYTES_MIN, fit};
use crate::test_alerts::{change, change_json, record};

const FORMATS: [WebhookFormat; 3] = [
    WebhookFormat::Json,
    WebhookFormat::Ocsf,
    WebhookFormat::Flatbuffers,
];

/// An alert with long values and much evidence, which merged with many others.
fn large(values: &[String], evidence: u64, supersedes: u64) -> Change {
    let item = |number: u64| EvidenceItem {
        time: EventTime(1_700_000_000_123_456_789),
        event: EventId([u64::MAX, number]),
        position: Position::new(BatchSeq(number), 0),
    };
    let mut record = record(7, 3);
    record.title = values.first().cloned().unwrap_or_default();
    record.group = (0..)
        .zip(values)
        .map(|(place, value)| GroupField {
            name: format!("field{place}"),
            value: value.clone(),
        })
        .collect();
    record.evidence.head = (0..evidence).map(item).collect();
    record.evidence.tail = (evidence..2 * evidence).map(item).collect();
    let mut change = change(ChangeKind::Revised, record);
    change.supersedes = (0..supersedes).map(|id| AlertId([9, id])).collect();
    change
}

fn body(change: &Change, format: WebhookFormat, bytes_max: usize) -> FittedBody {
    let tags = vec!["attack.t1110.001".to_owned(); 64];
    webhook_body(
        change,
        ChangeKind::Revised,
        format,
        bytes_max,
        change_json,
        &tags,
    )
}

#[test]
fn a_long_value_is_cut_and_the_body_reports_it() {
    let change = large(&["ü".repeat(15_000), "bob".to_owned()], 50, 3);
    let whole = body(&change, WebhookFormat::Json, 256 << 10);
    assert!(whole.cut.is_none() && whole.body.len() > 48 << 10);
    let fitted = body(&change, WebhookFormat::Json, BODY_BYTES_MIN);
    assert!(fitted.body.len() <= BODY_BYTES_MIN);
    let json: Value = serde_json::from_slice(&fitted.body).expect("it is JSON");
    let cut = json!({
        "values_cut": ["field0"], "evidence_left_out": 0, "supersedes_left_out": 0,
    });
    assert_eq!(json["cut"], cut);
    // All ids are in the message, and the short value is whole.
    assert_eq!(json["data"]["alert"], change.record.alert.to_string());
    assert_eq!(json["data"]["supersedes"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["data"]["group"]["field1"], "bob");
}

#[test]
fn evidence_keeps_its_first_and_its_last_events() {
    let change = large(&vec!["\u{1}".repeat(65_536); 16], 50, 0);
    let fitted = fit(&change, 1 << 20, |change, _| {
        let texts: usize = change
            .record
            .group
            .iter()
            .map(|field| field.value.len())
            .sum();
        let evidence = &change.record.evidence;
        let fits = texts <= 16 << 10 && evidence.head.len() <= 10;
        assert!(!fits || evidence.head[0] == large(&[], 50, 0).record.evidence.head[0]);
        assert!(!fits || evidence.tail.last() == large(&[], 50, 0).record.evidence.tail.last());
        vec![0; if fits { 1 } else { 2 << 20 }]
    });
    let cut = fitted.cut.expect("it is cut");
    assert_eq!((cut.values.len(), cut.evidence_left_out), (16, 80));
    assert_eq!(
        cut.header(),
        "values_cut=16, evidence_left_out=80, supersedes_left_out=0"
    );
}

#[test]
fn merged_alerts_are_the_last_to_go() {
    let change = large(&["x".repeat(60_000)], 50, 500);
    let fitted = body(&change, WebhookFormat::Json, BODY_BYTES_MIN);
    assert_eq!(fitted.cut.expect("it is cut").supersedes_left_out, 0);
    let change = large(&["x".repeat(60_000)], 50, 5_000);
    let fitted = body(&change, WebhookFormat::Json, BODY_BYTES_MIN);
    assert_eq!(fitted.cut.expect("it is cut").supersedes_left_out, 4_900);
}

/// One character of each kind that an encoding treats differently.
fn value() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(vec!['x', '"', '\\', '\u{1}', 'ü', '\u{202e}', '😀']);
    (letter, 0..20_000_usize).prop_map(|(c, times)| c.to_string().repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_body_fits_its_limit_and_is_whole(
        values in prop::collection::vec(value(), 0..16),
        evidence in 0..=50_u64,
        supersedes in prop::sample::select(vec![0, 3, 3_000]),
        bytes_max in prop::sample::select(vec![BODY_BYTES_MIN, 64 << 10, 256 << 10]),
    ) {
        let change = large(&values, evidence, supersedes);
        for format in FORMATS {
            let fitted = body(&change, format, bytes_max);
            prop_assert!(fitted.body.len() <= bytes_max, "{format:?}: {}", fitted.body.len());
            if format != WebhookFormat::Flatbuffers {
                let json: Value = serde_json::from_slice(&fitted.body).expect("it is JSON");
                let alert = change.record.alert.to_string();
                prop_assert!(json.to_string().contains(&alert));
                let told = json.get("cut").or_else(|| json["unmapped"].get("cut"));
                prop_assert_eq!(told.is_some(), fitted.cut.is_some());
            }
        }
    }
}
