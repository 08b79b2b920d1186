//! Windows event XML, whole, truncated and broken.

mod common;

use weir_parse::decode;
use weir_schema::{Format, Problem};

use common::{check_fields, context, field_text};

const SYSTEM: &str = "<System><Provider Name='P' Guid='{1}'/><EventID Qualifiers='16384'>4625</EventID>\
    <Level>0</Level><Keywords>0x8010000000000000</Keywords><EventRecordID>9</EventRecordID>\
    <Correlation ActivityID='{2}'/><Execution ProcessID='7' ThreadID='8'/><Channel>Security</Channel>\
    <Computer>pc.corp</Computer><Security UserID='S-1-5-18'/></System>";

fn event(rest: &str) -> String {
    format!("<Event xmlns='http://x'>{SYSTEM}{rest}</Event>")
}

/// XML after the `System` element, and fields of the event.
const DATA: [(&str, &[&str]); 7] = [
    (
        "<EventData/>",
        &[
            "EventID=4625",
            "Qualifiers=16384",
            "Provider_Name=P",
            "Provider_Guid={1}",
            "Level=0",
            "Execution_ProcessID=7",
            "Execution_ThreadID=8",
            "Correlation_ActivityID={2}",
            "Security_UserID=S-1-5-18",
            "host=pc.corp",
        ],
    ),
    (
        "<EventData><Data Name='Threat Name'>x</Data><Data Name='E'></Data><Data Name='N'/></EventData>",
        &["ThreatName=x", "E=", "N=-"],
    ),
    (
        "<EventData><Data>a</Data><Data>b</Data></EventData>",
        &["Data=a|b"],
    ),
    (
        "<EventData><Data Name='Channel'>c</Data><Data Name='A'>&#x41;&#66;<![CDATA[<&>]]>&lt u&gt &nbsp;&#xd800;&</Data></EventData>",
        &[
            "EventData_Channel=c",
            "Channel=Security",
            "A=AB<&>< u> &nbsp;&#xd800;&",
        ],
    ),
    (
        "<UserData><X xmlns='y'><Param>v</Param></X></UserData>",
        &["Param=v"],
    ),
    (
        "<EventData><Data Name='q>'>a > b</Data></EventData><!-- no --> - ",
        &["q>=a > b"],
    ),
    (
        "<RenderingInfo Culture='en'><Message>Said.</Message><Level>Information</Level></RenderingInfo>",
        &["Message=Said.", "Level=0"],
    ),
];

#[test]
fn decode_event_xml_to_the_flat_form() {
    for (rest, fields) in DATA {
        check_fields(&event(rest), fields);
        check_fields(&format!("- {}", event(rest)), fields);
    }
    let rendered = event(DATA[6].0);
    assert_eq!(
        decode(rendered.as_bytes(), &context(Format::Auto)).message,
        "Said."
    );
}

#[test]
fn truncated_event_keeps_its_complete_values() {
    let xml = event("<EventData><Data Name='A'>1</Data><Data Name='B'>2 &amp; 3</Data>");
    for end in xml.find("B'>").unwrap()..xml.find("</Data></Event>").unwrap() {
        let event = decode(&xml.as_bytes()[..end], &context(Format::Auto));
        assert_eq!(event.problems, [Problem::Truncated, Problem::TimeMissing]);
        assert_eq!(
            (field_text(&event, "A"), field_text(&event, "B")),
            ("1".into(), "-".into())
        );
        assert_eq!(event.message, xml[..end]);
    }
}

#[test]
fn reject_deep_and_broken_xml() {
    let deep = |levels: usize| event(&("<a>".repeat(levels) + &"</a>".repeat(levels)));
    check_fields(&deep(15), &["EventID=4625"]);
    for broken in [
        deep(16),
        event("<EventData><Data Name=x/></EventData>"),
        event("<!DOCTYPE a>"),
        event("</System>"),
        "<Event></Event>".to_owned(),
        // Truncated before `Computer`.
        event("")[..90].to_owned(),
    ] {
        let event = decode(broken.as_bytes(), &context(Format::Auto));
        assert_eq!(
            event.problems,
            [Problem::Unparsed, Problem::TimeMissing],
            "{broken}"
        );
        assert_eq!(event.message, broken);
    }
}
