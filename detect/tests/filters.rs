//! Filters and placeholders: the rules that they change, from what time on, and explanations.

mod common;

use common::{add, detect, event, short};
use serde_json::json;
use weir_detect::{PlaceholderValue, RuleBook, RuleKind, Settings};
use weir_schema::{Control, EventTime};

fn rule(id: &str, detection: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nname: name_{id}\nlogsource: {{category: test, product: p}}\n\
         detection: {{{detection}, condition: sel}}\n"
    )
}

fn filter(id: &str, rules: &str, logsource: &str, body: &str) -> String {
    format!(
        "title: Filter {id}\nid: {id}\nlogsource: {{{logsource}}}\n\
         filter: {{rules: {rules}, {body}}}\n"
    )
}

const NOT_ADMIN: &str = "sel: {user|startswith: adm_}, condition: not sel";

fn settings(placeholders: &[(&str, &[&str])], since: i64) -> Control {
    let value = |value: &&str| match value.parse() {
        Ok(n) => PlaceholderValue::Int(n),
        Err(_) => PlaceholderValue::Text((*value).to_owned()),
    };
    let settings = Settings {
        placeholders: placeholders
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().map(value).collect()))
            .collect(),
        log_sources: Vec::new(),
    };
    Control::Settings {
        text: settings.text().unwrap(),
        since: EventTime(since),
    }
}

fn matches(book: &RuleBook, user: &str, time: i64) -> Vec<String> {
    let mut event = event("test/p/-", &json!({"cmd": "x", "user": user}), 0);
    event.time = EventTime(time);
    let found = detect(book, &event).matches;
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn filters_apply_to_listed_rules_of_their_log_source() {
    for (rules, logsource, expected) in [
        ("any", "category: test, product: p", true),
        ("any", "category: test", true),
        ("any", "", true),
        ("[a]", "category: test", true),
        ("[b, name_a]", "category: test", true),
        ("[b]", "category: test", false),
        ("any", "category: other", false),
        ("any", "category: test, service: s", false),
    ] {
        let mut book = RuleBook::new();
        // The order of the two does not matter.
        for order in [true, false] {
            let rule = rule("a", "sel: {cmd: x}");
            let filter = filter("f", rules, logsource, NOT_ADMIN);
            let (first, second) = if order {
                (&rule, &filter)
            } else {
                (&filter, &rule)
            };
            add(&mut book, first, i64::MIN);
            add(&mut book, second, i64::MIN);
            assert_eq!(matches(&book, "joe", 5), ["a"], "{rules} {logsource}");
            let excluded = matches(&book, "adm_joe", 5).is_empty();
            assert_eq!(excluded, expected, "{rules} {logsource} {order}");
            let summaries = book.rules();
            let summary = |id: &str| summaries.iter().find(|s| &*s.id == id).unwrap();
            assert_eq!(summary("a").filters.len(), usize::from(expected));
            assert_eq!(summary("f").kind, RuleKind::Filter);
            assert!(!summary("f").alerts);
            book = RuleBook::new();
        }
    }
}

#[test]
fn filters_change_rules_from_their_time_on() {
    let mut book = RuleBook::new();
    let a = rule("a", "sel: {cmd: x}");
    let f = filter("f", "any", "category: test", NOT_ADMIN);
    let other = f.replace("adm_", "root");
    let control = |text: &str, since: i64| Control::RulePut {
        text: text.to_owned(),
        origin: "test.yml".to_owned(),
        since: EventTime(since),
    };
    let disable = Control::RuleDisable {
        rule: "f".to_owned(),
        until: EventTime(30),
    };
    let remove = Control::RuleRemove {
        rule: "f".to_owned(),
    };
    let relevel = a.replace("id: a", "level: high\nid: a");
    for (control, expected) in [
        (control(&a, 0), &["+a[0,..)"][..]),
        (control(&f, 10), &["~a[0,10)", "+a[10,..)"]),
        (control(&f.replace("Filter f", "Filter g"), 12), &[]),
        (control(&other, 20), &["~a[10,20)", "+a[20,..)"]),
        (disable, &["~a[20,30)", "+a[30,..)"]),
        (
            control(&relevel, 40),
            &["~a[0,10)", "~a[10,20)", "~a[20,30)", "~a[30,..)"],
        ),
        (remove, &["-a[10,20)", "-a[20,30)", "-a[30,..)", ">a[0,..)"]),
    ] {
        let before = book.clone();
        let update = book.apply(&control);
        assert_eq!(update.diagnostics, [], "{control:?}");
        assert_eq!(short(&before, &update.changes), expected, "{control:?}");
        if update.changes.len() == 2 && expected == ["~a[20,30)", "+a[30,..)"] {
            for (user, time, matched) in [
                ("adm_x", 5, true),
                ("adm_x", 15, false),
                ("adm_x", 25, true),
                ("root", 25, false),
                ("root", 35, true),
            ] {
                assert_eq!(
                    matches(&book, user, time).len() == 1,
                    matched,
                    "{user} {time}"
                );
            }
        }
    }
}

#[test]
fn explanations_name_the_filter() {
    let mut book = RuleBook::new();
    add(&mut book, &rule("a", "sel: {cmd: x}"), i64::MIN);
    add(
        &mut book,
        &filter("f", "[a]", "category: test", NOT_ADMIN),
        i64::MIN,
    );
    let event = event("test/p/-", &json!({"cmd": "x", "user": "adm_joe"}), 1);
    let explanation = book.explain("a", &event).unwrap();
    assert!(!explanation.matched);
    let failed: Vec<_> = explanation.decisive().map(|c| &*c.identifier).collect();
    assert_eq!(failed, ["filter `Filter f`: sel"]);
}

#[test]
fn report_filters_without_the_intended_effect() {
    let mut book = RuleBook::new();
    add(&mut book, &rule("a", "sel: {cmd: x}"), i64::MIN);
    for (text, refused, expected) in [
        (
            filter("f", "[a]", "", "sel: {user: x}, condition: sel"),
            false,
            "match only where",
        ),
        (
            filter("g", "[zz]", "", NOT_ADMIN),
            false,
            "nothing for `zz`: there is no such rule",
        ),
        (
            filter("h", "[a]", "category: z", NOT_ADMIN),
            false,
            "nothing for `a`: its log source",
        ),
        (
            filter("i", "[a]", "", "condition: not sel"),
            true,
            "the condition names `sel`",
        ),
        (
            filter("i", "[a]", "", "sel: {user: x}"),
            true,
            "`filter` has no `condition`",
        ),
        (
            filter("i", "5", "", NOT_ADMIN),
            true,
            "`rules` is not a list",
        ),
        (
            filter("i", "[]", "", NOT_ADMIN),
            true,
            "`rules` is not a list",
        ),
        (
            filter("i", "any", "", NOT_ADMIN).replace("rules: any, ", ""),
            true,
            "does not state its `rules`",
        ),
        (
            filter("i", "any", "", NOT_ADMIN).replace("logsource: {}\n", ""),
            true,
            "no `logsource`",
        ),
    ] {
        let update = add(&mut book, &text, i64::MIN);
        let [found] = update.diagnostics.as_slice() else {
            panic!("{text}: {update:?}");
        };
        assert!(found.message.contains(expected), "{found}");
        assert_eq!(found.refused, refused, "{found}");
        assert!(found.line.is_some() && found.column.is_some(), "{found}");
    }
}

#[test]
fn placeholders_have_the_values_of_the_settings() {
    let event = |user| event("test/p/-", &json!({"cmd": "x", "user": user}), 1);
    for (clause, values, yes, no) in [
        ("user|expand: '%A%'", &["root", "adm*"][..], "ADMIN", "joe"),
        ("user|contains|expand: '%A%'", &["oo"], "root", "joe"),
        ("user|expand: '%A%_%A%'", &["a", "b"], "b_a", "a_c"),
        ("user|re|expand: '^%A%$'", &["a+", "b"], "aaa", "ab"),
        (
            "user|cidr|expand: '%A%'",
            &["10.0.0.0/8"],
            "10.1.2.3",
            "11.0.0.0",
        ),
        ("user|expand: '%A%'", &["5"], "5.0", "6"),
        ("user|contains|all|expand: '%A%'", &["a", "b"], "xbxa", "xb"),
        ("user: '%A%'", &["a"], "%A%", "a"),
        ("user|expand: '100% %A%'", &["a"], "100% a", "a"),
        ("user|base64|expand: '%A%'", &["foo"], "Zm9v", "foo"),
    ] {
        let mut book = RuleBook::new();
        book.apply(&settings(&[("A", values)], i64::MIN));
        let update = add(
            &mut book,
            &rule("a", &format!("sel: {{{clause}}}")),
            i64::MIN,
        );
        assert_eq!(update.diagnostics, [], "{clause}");
        for (user, expected) in [(yes, true), (no, false)] {
            let found = book.explain("a", &event(user)).unwrap().matched;
            assert_eq!(found, expected, "{clause}: {user}");
        }
    }
}

#[test]
fn changed_placeholders_make_another_version() {
    let mut book = RuleBook::new();
    let using = rule("a", "sel: {user|expand: '%A%'}");
    let refused = add(&mut book, &using, 0);
    let [diagnostic] = refused.diagnostics.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!((diagnostic.line, diagnostic.column), (Some(5), Some(32)));
    assert!(
        diagnostic
            .hint
            .as_ref()
            .unwrap()
            .contains("[detection.placeholders]")
    );
    add(&mut book, &rule("b", "sel: {cmd: y}"), 0);
    let put_a = Control::RulePut {
        text: using,
        origin: "test.yml".to_owned(),
        since: EventTime(5),
    };
    for (control, expected, refused) in [
        (settings(&[("A", &["x"])], 10), &[][..], 0),
        (put_a, &["+a[5,..)"], 0),
        (settings(&[("A", &["x"]), ("B", &["y"])], 15), &[], 0),
        (
            settings(&[("A", &["y"])], 20),
            &["~a[5,20)", "+a[20,..)"],
            0,
        ),
        (settings(&[("A", &["y"])], 25), &[], 0),
        (settings(&[], 30), &["~a[20,30)"], 1),
        (settings(&[("A", &["y"])], 40), &["+a[40,..)"], 0),
    ] {
        let before = book.clone();
        let update = book.apply(&control);
        assert_eq!(short(&before, &update.changes), expected, "{control:?}");
        assert_eq!(update.diagnostics.len(), refused, "{update:?}");
    }
    for (user, time, matched) in [
        ("x", 6, true),
        ("x", 21, false),
        ("y", 21, true),
        ("y", 31, false),
    ] {
        assert_eq!(
            matches(&book, user, time) == ["a"],
            matched,
            "{user} {time}"
        );
    }
}

#[test]
fn find_the_names_of_correlations_and_filters() {
    let filter = filter("f", "any", "", NOT_ADMIN);
    for (text, expected) in [
        (rule("a", "filter_x: {cmd: x}, sel: {cmd: x}"), &[][..]),
        (filter.clone(), &["f"]),
        (filter.replace("id: f", "id: f\nname: n"), &["f", "n"]),
        (
            format!("# c\n\n  {}", filter.trim_end().replace('\n', "\n  ")),
            &["f"],
        ),
        ("{id: c, \"correlation\": {}}".to_owned(), &["c"]),
        ("correlation: [".to_owned(), &[]),
    ] {
        assert_eq!(
            weir_detect::names_affecting_others(&text),
            expected,
            "{text}"
        );
    }
}

#[test]
fn filters_may_use_placeholders() {
    let mut book = RuleBook::new();
    add(&mut book, &rule("a", "sel: {cmd: x}"), i64::MIN);
    book.apply(&settings(&[("A", &["root"])], i64::MIN));
    let body = "sel: {user|expand: '%A%'}, condition: not sel";
    let update = add(&mut book, &filter("f", "any", "", body), i64::MIN);
    assert_eq!(update.diagnostics, []);
    assert_eq!(matches(&book, "root", 5), [""; 0]);
    let before = book.clone();
    let update = book.apply(&settings(&[("A", &["toor"])], 10));
    let expected = ["~a[-9223372036854775808,10)", "+a[10,..)"];
    assert_eq!(short(&before, &update.changes), expected);
    assert_eq!(matches(&book, "root", 15), ["a"]);
    assert_eq!(matches(&book, "toor", 15), [""; 0]);
    // Without a value the filter stops with a diagnostic; its rule goes on.
    let update = book.apply(&settings(&[], 20));
    assert_eq!(update.diagnostics.len(), 1);
    assert_eq!(matches(&book, "toor", 25), ["a"]);
}
