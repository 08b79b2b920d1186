//! Parses event steps: time, source and content.

use weir_schema::Span;

use crate::clock::{STORY_DAYS_MAX, read_time};
use crate::effect::EffectKind;
use crate::story::{EventPayload, EventStep, SubjectKind};
use crate::tokens::{Token, raw_bytes, tokenize};

/// Reads `TIME source kind {field=value} [x N every D] [late] [as label]`, or `TIME source raw
/// bytes`, or `TIME source json {...}`.
pub(crate) fn read_event(text: &str) -> Result<EventStep, String> {
    let (time, taken) = read_time(&text.split_whitespace().take(2).collect::<Vec<_>>())
        .ok_or("a time is HH:MM:SS[.fraction], with `D+n ` before it on later days")?;
    let (_, rest) = take_words(text, taken);
    let (source, rest) = take_words(rest, 1);
    let mut event = EventStep {
        time,
        source: source.to_owned(),
        payload: EventPayload::Raw(Vec::new()),
        times: 1,
        every: Span(0),
        late: false,
        label: None,
    };
    if source.is_empty() || source.contains('=') {
        return Err("a time is followed by the source of the event".to_owned());
    }
    if source.split('@').any(str::is_empty) || source.matches('@').count() > 1 {
        return Err("a source of a tenant is written `tenant@source`".to_owned());
    }
    let (kind, rest) = take_words(rest, 1);
    if kind.is_empty() || kind.contains('=') {
        return Err("a source is followed by the kind of event, or by `raw`".to_owned());
    }
    if kind == "raw" || kind == "json" {
        read_raw(&mut event, kind, rest)?;
        return Ok(event);
    }
    let words = tokenize(rest)?;
    let mut words = words.iter().peekable();
    let mut fields: Vec<(String, String)> = Vec::new();
    while let Some(Token::Field(name, value)) = words.peek() {
        if name == "time" || name == "kind" || fields.iter().any(|(known, _)| known == name) {
            return Err(format!("the field `{name}` is given twice"));
        }
        fields.push((name.clone(), value.clone()));
        words.next();
    }
    event.payload = EventPayload::Fields {
        kind: kind.to_owned(),
        fields,
    };
    let words: Vec<&Token> = words.collect();
    read_tail(&mut event, &words)?;
    Ok(event)
}

/// Reads the bytes of a raw frame. `late` and `as label` come before them, in brackets, because the
/// bytes extend to the end of the line. JSON has its own escapes, so its bytes are literal.
fn read_raw(event: &mut EventStep, kind: &str, text: &str) -> Result<(), String> {
    let mut text = text;
    if let Some(inner) = text.strip_prefix("[") {
        let (words, bytes) = inner
            .split_once("] ")
            .ok_or_else(|| format!("the bracket after `{kind}` is not closed"))?;
        let words = tokenize(words)?;
        read_tail(event, &words.iter().collect::<Vec<_>>())?;
        text = bytes;
    }
    let bytes = match kind {
        "json" => text.as_bytes().to_vec(),
        _ => raw_bytes(text),
    };
    if bytes.is_empty() {
        return Err(format!("`{kind}` is followed by the bytes of the frame"));
    }
    if kind == "json" && !bytes.starts_with(b"{") {
        return Err("`json` is followed by an object".to_owned());
    }
    event.payload = EventPayload::Raw(bytes);
    Ok(())
}

fn read_tail(event: &mut EventStep, words: &[&Token]) -> Result<(), String> {
    let plain: Vec<&str> = words
        .iter()
        .map(|word| {
            word.as_plain()
                .ok_or_else(|| format!("`{}` comes after the end of the fields", word.quoted()))
        })
        .collect::<Result<_, _>>()?;
    let mut rest = plain.as_slice();
    if let ["x", times, "every", every, after @ ..] = rest {
        let times: u32 = times.parse().map_err(|_| "`x` is followed by a number")?;
        if times < 2 {
            return Err("`x` is followed by 2 or more".to_owned());
        }
        (event.times, event.every) = (times, duration(every)?);
        rest = after;
    }
    if let ["late", after @ ..] = rest {
        event.late = true;
        rest = after;
    }
    if let ["as", label, after @ ..] = rest {
        if label.contains(',') {
            return Err("a label must not contain a comma".to_owned());
        }
        event.label = Some((*label).to_owned());
        rest = after;
    }
    match rest {
        [] => Ok(()),
        ["x", ..] => Err("a repeat is written `x N every DURATION`".to_owned()),
        [word, ..] => Err(format!("unknown word `{word}` after an event")),
    }
}

/// Reads a duration no longer than a story may be.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    Span::parse(text)
        .filter(|span| span.0 <= STORY_DAYS_MAX * 86_400_000_000_000)
        .ok_or_else(|| format!("`{text}` is not a duration, such as 500ms, 15s, 10m, 24h, 7d"))
}

/// Splits off the first `n` words of `text`, and the spaces after them.
fn take_words(text: &str, n: usize) -> (&str, &str) {
    let mut end = 0;
    for _ in 0..n {
        let rest = text.get(end..).unwrap_or_default();
        let start = end + (rest.len() - rest.trim_start().len());
        let word = text.get(start..).unwrap_or_default();
        end = start + word.find(char::is_whitespace).unwrap_or(word.len());
    }
    let (words, rest) = text.split_at(end);
    (words.trim(), rest.trim_start())
}

/// Whether a line of narration looks like a step that the author forgot to indent.
pub(crate) fn looks_like_step(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["----", time, ..] => time.starts_with("D+") || time.as_bytes().get(2) == Some(&b':'),
        ["+" | "~" | "-", noun, ..] => EffectKind::read(noun).is_some(),
        ["?" | "!", _, ..] | ["restart"] | ["horizon" | "stall" | "resume", _] => true,
        [noun, "+" | "-", ..] => SubjectKind::read(noun).is_some(),
        _ => text.starts_with('|') || read_time(&words).is_some(),
    }
}
